-- AlterTable
ALTER TABLE "task" ADD COLUMN     "task_group_id" UUID;

-- CreateTable
CREATE TABLE "task_group" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "description" TEXT NOT NULL,
    "all_tasks_dispatched" BOOLEAN NOT NULL DEFAULT false,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "task_group_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "task_schedule" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "task_name" TEXT NOT NULL,
    "dispatch_interval" INTEGER NOT NULL,
    "next_dispatch" TIMESTAMPTZ(6) NOT NULL,
    "last_task_id" UUID,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "task_schedule_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "task_schedule_last_task_id_idx" ON "task_schedule"("last_task_id");

-- CreateIndex
CREATE UNIQUE INDEX "task_schedule_domain_id_name_key" ON "task_schedule"("domain_id", "name");

-- CreateIndex
CREATE INDEX "task_task_group_id_idx" ON "task"("task_group_id");

-- AddForeignKey
ALTER TABLE "task" ADD CONSTRAINT "task_task_group_id_fkey" FOREIGN KEY ("task_group_id") REFERENCES "task_group"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "task_group" ADD CONSTRAINT "task_group_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "task_schedule" ADD CONSTRAINT "task_schedule_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "task_schedule" ADD CONSTRAINT "task_schedule_last_task_id_fkey" FOREIGN KEY ("last_task_id") REFERENCES "task"("id") ON DELETE SET NULL ON UPDATE CASCADE;

