-- Lists are ordered with nulls first, and an index is walked only in its own order, or backward.

-- CreateIndex
CREATE INDEX "distribution_name_idx" ON "distribution"("name" NULLS FIRST);

-- CreateIndex
CREATE INDEX "remote_name_idx" ON "remote"("name" NULLS FIRST);

-- CreateIndex
CREATE INDEX "repository_name_idx" ON "repository"("name" NULLS FIRST);

-- CreateIndex
CREATE INDEX "repository_pulp_created_idx" ON "repository"("pulp_created" NULLS FIRST);

-- CreateIndex
CREATE INDEX "task_name_id_idx" ON "task"("name" NULLS FIRST, "id" DESC);

-- CreateIndex
CREATE INDEX "task_pulp_created_idx" ON "task"("pulp_created" NULLS FIRST);

-- Hardly a unit has labels; those that have none cost nothing, so that a sync does not pay for it.
CREATE INDEX "content_pulp_labels_idx" ON "content" USING GIN ("pulp_labels") WHERE "pulp_labels" <> '{}';

-- For `name__iexact`.
CREATE INDEX "distribution_lower_name_idx" ON "distribution"(lower("name"));
CREATE INDEX "remote_lower_name_idx" ON "remote"(lower("name"));
CREATE INDEX "repository_lower_name_idx" ON "repository"(lower("name"));
