-- CreateIndex
CREATE INDEX "distribution_pulp_labels_idx" ON "distribution" USING GIN ("pulp_labels");

-- CreateIndex
CREATE INDEX "remote_pulp_labels_idx" ON "remote" USING GIN ("pulp_labels");

-- CreateIndex
CREATE INDEX "repository_pulp_labels_idx" ON "repository" USING GIN ("pulp_labels");

-- CreateIndex
CREATE INDEX "task_created_resource_prns_idx" ON "task" USING GIN ("created_resource_prns");

-- CreateIndex
CREATE INDEX "task_logging_cid_idx" ON "task"("logging_cid");
