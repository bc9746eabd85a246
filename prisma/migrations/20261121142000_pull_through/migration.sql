-- AlterTable
ALTER TABLE "container_distribution" ADD COLUMN     "cache_id" UUID;

-- AlterTable
ALTER TABLE "container_remote" ADD COLUMN     "cache_id" UUID;

-- CreateTable
CREATE TABLE "container_pull_through_remote" (
    "id" UUID NOT NULL,
    "includes" JSONB,
    "excludes" JSONB,

    CONSTRAINT "container_pull_through_remote_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "container_pull_through_distribution" (
    "id" UUID NOT NULL,
    "namespace_id" UUID NOT NULL,
    "private" BOOLEAN NOT NULL DEFAULT false,
    "description" TEXT,

    CONSTRAINT "container_pull_through_distribution_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "container_pull_through_distribution_namespace_id_idx" ON "container_pull_through_distribution"("namespace_id");

-- CreateIndex
CREATE INDEX "container_distribution_cache_id_idx" ON "container_distribution"("cache_id");

-- CreateIndex
CREATE INDEX "container_remote_cache_id_idx" ON "container_remote"("cache_id");

-- AddForeignKey
ALTER TABLE "container_remote" ADD CONSTRAINT "container_remote_cache_id_fkey" FOREIGN KEY ("cache_id") REFERENCES "container_pull_through_distribution"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_pull_through_remote" ADD CONSTRAINT "container_pull_through_remote_id_fkey" FOREIGN KEY ("id") REFERENCES "remote"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_distribution" ADD CONSTRAINT "container_distribution_cache_id_fkey" FOREIGN KEY ("cache_id") REFERENCES "container_pull_through_distribution"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_pull_through_distribution" ADD CONSTRAINT "container_pull_through_distribution_id_fkey" FOREIGN KEY ("id") REFERENCES "distribution"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_pull_through_distribution" ADD CONSTRAINT "container_pull_through_distribution_namespace_id_fkey" FOREIGN KEY ("namespace_id") REFERENCES "container_namespace"("id") ON DELETE RESTRICT ON UPDATE CASCADE;
