-- CreateTable
CREATE TABLE "container_push_repository" (
    "id" UUID NOT NULL,
    "manifest_signing_service_id" UUID,

    CONSTRAINT "container_push_repository_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "container_push_repository_manifest_signing_service_id_idx" ON "container_push_repository"("manifest_signing_service_id");

-- AddForeignKey
ALTER TABLE "container_push_repository" ADD CONSTRAINT "container_push_repository_id_fkey" FOREIGN KEY ("id") REFERENCES "repository"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_push_repository" ADD CONSTRAINT "container_push_repository_manifest_signing_service_id_fkey" FOREIGN KEY ("manifest_signing_service_id") REFERENCES "signing_service"("id") ON DELETE SET NULL ON UPDATE CASCADE;
