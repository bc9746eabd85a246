-- DropForeignKey
ALTER TABLE "container_manifest" DROP CONSTRAINT "container_manifest_config_blob_id_fkey";

-- DropForeignKey
ALTER TABLE "content" DROP CONSTRAINT "content_artifact_id_fkey";

-- DropIndex
DROP INDEX "content_domain_id_pulp_type_idx";

-- AlterTable
ALTER TABLE "artifact" ADD COLUMN     "last_seen" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP;

-- CreateTable
CREATE TABLE "doomed_file" (
    "domain_id" UUID NOT NULL,
    "sha256" TEXT NOT NULL,
    "file" TEXT NOT NULL,
    "size" BIGINT NOT NULL,
    "aside_at" TIMESTAMPTZ(6),

    CONSTRAINT "doomed_file_pkey" PRIMARY KEY ("domain_id","sha256")
);

-- CreateIndex
CREATE INDEX "doomed_file_aside_at_idx" ON "doomed_file"("aside_at");

-- CreateIndex
CREATE INDEX "content_domain_id_pulp_type_id_idx" ON "content"("domain_id", "pulp_type", "id");

-- AddForeignKey
ALTER TABLE "container_manifest" ADD CONSTRAINT "container_manifest_config_blob_id_fkey" FOREIGN KEY ("config_blob_id") REFERENCES "container_blob"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "content" ADD CONSTRAINT "content_artifact_id_fkey" FOREIGN KEY ("artifact_id") REFERENCES "artifact"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
