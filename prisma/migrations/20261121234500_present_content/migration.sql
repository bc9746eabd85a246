-- A version holds a unit once. What adds one is decided by this index, without a look at what else the repository holds.
CREATE UNIQUE INDEX "repository_content_present_key" ON "repository_content"("repository_id", "content_id") WHERE "version_removed" IS NULL;

-- What was removed is looked for by the version that did so; of what is present, no row is written to this one any more.
DROP INDEX "repository_content_repository_id_version_removed_idx";
CREATE INDEX "repository_content_repository_id_version_removed_idx" ON "repository_content"("repository_id", "version_removed") WHERE "version_removed" IS NOT NULL;
