-- DropIndex
DROP INDEX "container_manifest_subject_idx";

-- AlterTable
ALTER TABLE "container_repository" ADD COLUMN     "referrers_api" BOOLEAN,
ADD COLUMN     "referrers_asked" TIMESTAMPTZ(6),
ADD COLUMN     "referrers_remote_id" UUID;

-- CreateIndex
CREATE INDEX "container_manifest_subject_digest_idx" ON "container_manifest"("subject", "digest");

-- CreateIndex
CREATE INDEX "container_manifest_is_flatpak_idx" ON "container_manifest"("is_flatpak");

-- CreateIndex
CREATE INDEX "container_repository_referrers_remote_id_idx" ON "container_repository"("referrers_remote_id");

-- AddForeignKey
ALTER TABLE "container_repository" ADD CONSTRAINT "container_repository_referrers_remote_id_fkey" FOREIGN KEY ("referrers_remote_id") REFERENCES "container_remote"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- artifact_type is the media type of the config where the manifest itself has none. Of manifests whose bytes PostgreSQL cannot read as
-- JSON (they may hold \u0000) it stays null.
DO $$
DECLARE
  manifest RECORD;
BEGIN
  FOR manifest IN
    SELECT id, data FROM container_manifest WHERE config_blob_id IS NOT NULL AND coalesce(artifact_type, '') = ''
  LOOP
    BEGIN
      UPDATE container_manifest
      SET artifact_type = convert_from(manifest.data, 'UTF8')::json -> 'config' ->> 'mediaType'
      WHERE id = manifest.id;
    EXCEPTION WHEN data_exception THEN
      NULL;
    END;
  END LOOP;
END
$$;
