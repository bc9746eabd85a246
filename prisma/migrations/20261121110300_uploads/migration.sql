-- CreateTable
CREATE TABLE "upload" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "size" BIGINT NOT NULL,
    "created_by_id" INTEGER,
    "completed" TIMESTAMPTZ(6),
    "artifact_id" UUID,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "upload_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "upload_chunk" (
    "id" UUID NOT NULL,
    "upload_id" UUID,
    "offset" BIGINT NOT NULL,
    "size" BIGINT NOT NULL,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "upload_chunk_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "upload_created_by_id_idx" ON "upload"("created_by_id");

-- CreateIndex
CREATE INDEX "upload_pulp_last_updated_idx" ON "upload"("pulp_last_updated");

-- CreateIndex
CREATE UNIQUE INDEX "upload_chunk_upload_id_offset_key" ON "upload_chunk"("upload_id", "offset");

-- AddForeignKey
ALTER TABLE "upload" ADD CONSTRAINT "upload_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "upload" ADD CONSTRAINT "upload_created_by_id_fkey" FOREIGN KEY ("created_by_id") REFERENCES "app_user"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "upload_chunk" ADD CONSTRAINT "upload_chunk_upload_id_fkey" FOREIGN KEY ("upload_id") REFERENCES "upload"("id") ON DELETE SET NULL ON UPDATE CASCADE;
