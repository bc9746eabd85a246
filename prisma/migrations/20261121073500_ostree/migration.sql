-- CreateTable
CREATE TABLE "ostree_remote" (
    "id" UUID NOT NULL,
    "depth" INTEGER NOT NULL DEFAULT 0,
    "include_refs" JSONB,
    "exclude_refs" JSONB,

    CONSTRAINT "ostree_remote_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ostree_repository" (
    "id" UUID NOT NULL,
    "compute_delta" BOOLEAN NOT NULL DEFAULT true,

    CONSTRAINT "ostree_repository_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ostree_distribution" (
    "id" UUID NOT NULL,

    CONSTRAINT "ostree_distribution_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ostree_commit" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "checksum" TEXT NOT NULL,
    "parent_commit_id" UUID,
    "timestamp" BIGINT NOT NULL,
    "version" TEXT,

    CONSTRAINT "ostree_commit_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ostree_object" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "checksum" TEXT NOT NULL,
    "typ" SMALLINT NOT NULL,

    CONSTRAINT "ostree_object_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ostree_commit_object" (
    "commit_id" UUID NOT NULL,
    "object_id" UUID NOT NULL,

    CONSTRAINT "ostree_commit_object_pkey" PRIMARY KEY ("commit_id","object_id")
);

-- CreateTable
CREATE TABLE "ostree_ref" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "commit_id" UUID NOT NULL,

    CONSTRAINT "ostree_ref_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ostree_config" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "sha256" TEXT NOT NULL,
    "relative_path" TEXT NOT NULL DEFAULT 'config',

    CONSTRAINT "ostree_config_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ostree_summary" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "sha256" TEXT NOT NULL,
    "relative_path" TEXT NOT NULL DEFAULT 'summary',

    CONSTRAINT "ostree_summary_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "ostree_content" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "relative_path" TEXT NOT NULL,
    "digest" TEXT NOT NULL,

    CONSTRAINT "ostree_content_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "ostree_commit_parent_commit_id_idx" ON "ostree_commit"("parent_commit_id");

-- CreateIndex
CREATE UNIQUE INDEX "ostree_commit_domain_id_checksum_key" ON "ostree_commit"("domain_id", "checksum");

-- CreateIndex
CREATE UNIQUE INDEX "ostree_object_domain_id_checksum_typ_key" ON "ostree_object"("domain_id", "checksum", "typ");

-- CreateIndex
CREATE INDEX "ostree_commit_object_object_id_idx" ON "ostree_commit_object"("object_id");

-- CreateIndex
CREATE INDEX "ostree_ref_commit_id_idx" ON "ostree_ref"("commit_id");

-- CreateIndex
CREATE UNIQUE INDEX "ostree_ref_name_commit_id_key" ON "ostree_ref"("name", "commit_id");

-- CreateIndex
CREATE UNIQUE INDEX "ostree_config_domain_id_sha256_key" ON "ostree_config"("domain_id", "sha256");

-- CreateIndex
CREATE UNIQUE INDEX "ostree_summary_domain_id_sha256_key" ON "ostree_summary"("domain_id", "sha256");

-- CreateIndex
CREATE UNIQUE INDEX "ostree_content_domain_id_relative_path_digest_key" ON "ostree_content"("domain_id", "relative_path", "digest");

-- AddForeignKey
ALTER TABLE "ostree_remote" ADD CONSTRAINT "ostree_remote_id_fkey" FOREIGN KEY ("id") REFERENCES "remote"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ostree_repository" ADD CONSTRAINT "ostree_repository_id_fkey" FOREIGN KEY ("id") REFERENCES "repository"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ostree_distribution" ADD CONSTRAINT "ostree_distribution_id_fkey" FOREIGN KEY ("id") REFERENCES "distribution"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ostree_commit" ADD CONSTRAINT "ostree_commit_id_fkey" FOREIGN KEY ("id") REFERENCES "content"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ostree_commit" ADD CONSTRAINT "ostree_commit_parent_commit_id_fkey" FOREIGN KEY ("parent_commit_id") REFERENCES "ostree_commit"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ostree_object" ADD CONSTRAINT "ostree_object_id_fkey" FOREIGN KEY ("id") REFERENCES "content"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ostree_commit_object" ADD CONSTRAINT "ostree_commit_object_commit_id_fkey" FOREIGN KEY ("commit_id") REFERENCES "ostree_commit"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ostree_commit_object" ADD CONSTRAINT "ostree_commit_object_object_id_fkey" FOREIGN KEY ("object_id") REFERENCES "ostree_object"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ostree_ref" ADD CONSTRAINT "ostree_ref_id_fkey" FOREIGN KEY ("id") REFERENCES "content"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ostree_ref" ADD CONSTRAINT "ostree_ref_commit_id_fkey" FOREIGN KEY ("commit_id") REFERENCES "ostree_commit"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ostree_config" ADD CONSTRAINT "ostree_config_id_fkey" FOREIGN KEY ("id") REFERENCES "content"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ostree_summary" ADD CONSTRAINT "ostree_summary_id_fkey" FOREIGN KEY ("id") REFERENCES "content"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "ostree_content" ADD CONSTRAINT "ostree_content_id_fkey" FOREIGN KEY ("id") REFERENCES "content"("id") ON DELETE CASCADE ON UPDATE CASCADE;


