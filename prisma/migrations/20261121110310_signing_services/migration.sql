-- CreateTable
CREATE TABLE "signing_service" (
    "id" UUID NOT NULL,
    "service_class" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "public_key" TEXT NOT NULL,
    "pubkey_fingerprint" TEXT NOT NULL,
    "script" TEXT NOT NULL,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "signing_service_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "signing_service_name_key" ON "signing_service"("name");

-- CreateIndex
CREATE INDEX "container_repository_manifest_signing_service_id_idx" ON "container_repository"("manifest_signing_service_id");

-- AddForeignKey
ALTER TABLE "container_repository" ADD CONSTRAINT "container_repository_manifest_signing_service_id_fkey" FOREIGN KEY ("manifest_signing_service_id") REFERENCES "signing_service"("id") ON DELETE SET NULL ON UPDATE CASCADE;
