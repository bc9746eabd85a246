-- AlterTable
ALTER TABLE "container_repository" ADD COLUMN     "mirrored" BOOLEAN NOT NULL DEFAULT false,
ADD COLUMN     "origin" TEXT;

-- CreateTable
CREATE TABLE "container_pending_content" (
    "repository_id" UUID NOT NULL,
    "content_id" UUID NOT NULL,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "container_pending_content_pkey" PRIMARY KEY ("repository_id","content_id")
);

-- CreateTable
CREATE TABLE "container_upload" (
    "id" UUID NOT NULL,
    "repository_id" UUID NOT NULL,
    "user_id" INTEGER,
    "received" BIGINT NOT NULL DEFAULT 0,
    "body" BYTEA,
    "parts" JSONB NOT NULL DEFAULT '[]',
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "container_upload_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "container_pending_content_content_id_idx" ON "container_pending_content"("content_id");

-- CreateIndex
CREATE INDEX "container_pending_content_pulp_created_idx" ON "container_pending_content"("pulp_created");

-- CreateIndex
CREATE INDEX "container_upload_repository_id_idx" ON "container_upload"("repository_id");

-- CreateIndex
CREATE INDEX "container_upload_user_id_idx" ON "container_upload"("user_id");

-- CreateIndex
CREATE INDEX "container_upload_pulp_last_updated_idx" ON "container_upload"("pulp_last_updated");

-- AddForeignKey
ALTER TABLE "container_pending_content" ADD CONSTRAINT "container_pending_content_repository_id_fkey" FOREIGN KEY ("repository_id") REFERENCES "repository"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_pending_content" ADD CONSTRAINT "container_pending_content_content_id_fkey" FOREIGN KEY ("content_id") REFERENCES "content"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_upload" ADD CONSTRAINT "container_upload_repository_id_fkey" FOREIGN KEY ("repository_id") REFERENCES "repository"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_upload" ADD CONSTRAINT "container_upload_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "app_user"("id") ON DELETE CASCADE ON UPDATE CASCADE;



-- What is in a version so far was mirrored: there was no other way.
UPDATE "container_repository" r SET "mirrored" = true
WHERE EXISTS (SELECT FROM "repository_content" rc WHERE rc."repository_id" = r."id");
