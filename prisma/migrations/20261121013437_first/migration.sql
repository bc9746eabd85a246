-- CreateTable
CREATE TABLE "container_remote" (
    "id" UUID NOT NULL,
    "upstream_name" TEXT NOT NULL,
    "includes" JSONB,
    "excludes" JSONB,
    "sigstore" TEXT,

    CONSTRAINT "container_remote_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "container_repository" (
    "id" UUID NOT NULL,
    "manifest_signing_service_id" UUID,

    CONSTRAINT "container_repository_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "container_namespace" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "pulp_labels" JSONB NOT NULL DEFAULT '{}',
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "container_namespace_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "container_distribution" (
    "id" UUID NOT NULL,
    "namespace_id" UUID NOT NULL,
    "private" BOOLEAN NOT NULL DEFAULT false,
    "description" TEXT,

    CONSTRAINT "container_distribution_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "container_blob" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "digest" TEXT NOT NULL,
    "size" BIGINT,

    CONSTRAINT "container_blob_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "container_manifest" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "digest" TEXT NOT NULL,
    "schema_version" INTEGER NOT NULL,
    "media_type" TEXT NOT NULL,
    "data" BYTEA NOT NULL,
    "annotations" JSONB NOT NULL DEFAULT '{}',
    "labels" JSONB NOT NULL DEFAULT '{}',
    "is_bootable" BOOLEAN NOT NULL DEFAULT false,
    "is_flatpak" BOOLEAN NOT NULL DEFAULT false,
    "type" TEXT,
    "architecture" TEXT,
    "os" TEXT,
    "compressed_image_size" BIGINT,
    "config_blob_id" UUID,
    "artifact_type" TEXT,
    "subject" TEXT,

    CONSTRAINT "container_manifest_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "container_manifest_blob" (
    "manifest_id" UUID NOT NULL,
    "blob_id" UUID NOT NULL,

    CONSTRAINT "container_manifest_blob_pkey" PRIMARY KEY ("manifest_id","blob_id")
);

-- CreateTable
CREATE TABLE "container_manifest_list_item" (
    "list_id" UUID NOT NULL,
    "manifest_id" UUID NOT NULL,
    "architecture" TEXT,
    "os" TEXT,
    "os_version" TEXT,
    "os_features" JSONB,
    "features" JSONB,
    "variant" TEXT,

    CONSTRAINT "container_manifest_list_item_pkey" PRIMARY KEY ("list_id","manifest_id")
);

-- CreateTable
CREATE TABLE "container_tag" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "tagged_manifest_id" UUID NOT NULL,

    CONSTRAINT "container_tag_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "container_signature" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "digest" TEXT NOT NULL,
    "type" TEXT NOT NULL,
    "key_id" TEXT NOT NULL,
    "fingerprint" TEXT,
    "timestamp" BIGINT NOT NULL,
    "creator" TEXT,
    "data" TEXT NOT NULL,
    "signed_manifest_id" UUID NOT NULL,

    CONSTRAINT "container_signature_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "domain" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "pulp_labels" JSONB NOT NULL DEFAULT '{}',
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "domain_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "app_user" (
    "id" SERIAL NOT NULL,
    "username" TEXT NOT NULL,
    "password" TEXT,
    "first_name" TEXT NOT NULL DEFAULT '',
    "last_name" TEXT NOT NULL DEFAULT '',
    "email" TEXT NOT NULL DEFAULT '',
    "is_staff" BOOLEAN NOT NULL DEFAULT false,
    "is_active" BOOLEAN NOT NULL DEFAULT true,
    "is_superuser" BOOLEAN NOT NULL DEFAULT false,
    "date_joined" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "last_login" TIMESTAMPTZ(6),

    CONSTRAINT "app_user_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "content_guard" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "pulp_type" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "content_guard_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "remote" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "pulp_type" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "url" TEXT NOT NULL,
    "policy" TEXT NOT NULL DEFAULT 'immediate',
    "pulp_labels" JSONB NOT NULL DEFAULT '{}',
    "ca_cert" TEXT,
    "client_cert" TEXT,
    "client_key" TEXT,
    "tls_validation" BOOLEAN NOT NULL DEFAULT true,
    "proxy_url" TEXT,
    "proxy_username" TEXT,
    "proxy_password" TEXT,
    "username" TEXT,
    "password" TEXT,
    "download_concurrency" INTEGER,
    "max_retries" INTEGER,
    "total_timeout" DOUBLE PRECISION,
    "connect_timeout" DOUBLE PRECISION,
    "sock_connect_timeout" DOUBLE PRECISION,
    "sock_read_timeout" DOUBLE PRECISION,
    "headers" JSONB,
    "rate_limit" INTEGER,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "remote_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "repository" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "pulp_type" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "pulp_labels" JSONB NOT NULL DEFAULT '{}',
    "remote_id" UUID,
    "retain_repo_versions" INTEGER,
    "retain_checkpoints" INTEGER,
    "next_version" INTEGER NOT NULL DEFAULT 1,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "repository_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "repository_version" (
    "id" UUID NOT NULL,
    "repository_id" UUID NOT NULL,
    "number" INTEGER NOT NULL,
    "base_version_id" UUID,
    "added" JSONB NOT NULL DEFAULT '{}',
    "removed" JSONB NOT NULL DEFAULT '{}',
    "present" JSONB NOT NULL DEFAULT '{}',
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "repository_version_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "repository_content" (
    "repository_id" UUID NOT NULL,
    "content_id" UUID NOT NULL,
    "version_added" INTEGER NOT NULL,
    "version_removed" INTEGER,

    CONSTRAINT "repository_content_pkey" PRIMARY KEY ("repository_id","content_id","version_added")
);

-- CreateTable
CREATE TABLE "content" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "pulp_type" TEXT NOT NULL,
    "artifact_id" UUID,
    "pulp_labels" JSONB NOT NULL DEFAULT '{}',
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "last_seen" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "content_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "remote_content" (
    "content_id" UUID NOT NULL,
    "remote_id" UUID NOT NULL,

    CONSTRAINT "remote_content_pkey" PRIMARY KEY ("content_id","remote_id")
);

-- CreateTable
CREATE TABLE "artifact" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "file" TEXT NOT NULL,
    "size" BIGINT NOT NULL,
    "md5" TEXT,
    "sha1" TEXT,
    "sha224" TEXT,
    "sha256" TEXT NOT NULL,
    "sha384" TEXT,
    "sha512" TEXT,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "artifact_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "distribution" (
    "id" UUID NOT NULL,
    "domain_id" UUID NOT NULL,
    "pulp_type" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "base_path" TEXT NOT NULL,
    "repository_id" UUID,
    "repository_version_id" UUID,
    "content_guard_id" UUID,
    "remote_id" UUID,
    "hidden" BOOLEAN NOT NULL DEFAULT false,
    "pulp_labels" JSONB NOT NULL DEFAULT '{}',
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "distribution_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "task" (
    "id" UUID NOT NULL,
    "seq" BIGSERIAL NOT NULL,
    "domain_id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "state" TEXT NOT NULL DEFAULT 'waiting',
    "logging_cid" TEXT NOT NULL,
    "created_by_id" INTEGER,
    "args" TEXT NOT NULL,
    "unblocked_at" TIMESTAMPTZ(6),
    "started_at" TIMESTAMPTZ(6),
    "finished_at" TIMESTAMPTZ(6),
    "error" JSONB,
    "result" JSONB,
    "worker_id" UUID,
    "fence" INTEGER NOT NULL DEFAULT 0,
    "parent_task_id" UUID,
    "progress_reports" JSONB NOT NULL DEFAULT '[]',
    "created_resources" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "created_resource_prns" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "reserved_resources_record" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "task_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "task_reservation" (
    "resource" TEXT NOT NULL,
    "seq" BIGINT NOT NULL,
    "task_id" UUID NOT NULL,
    "exclusive" BOOLEAN NOT NULL,

    CONSTRAINT "task_reservation_pkey" PRIMARY KEY ("resource","seq")
);

-- CreateTable
CREATE TABLE "worker" (
    "id" UUID NOT NULL,
    "app_type" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "versions" JSONB NOT NULL DEFAULT '{}',
    "last_heartbeat" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "worker_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "container_namespace_domain_id_name_key" ON "container_namespace"("domain_id", "name");

-- CreateIndex
CREATE INDEX "container_distribution_namespace_id_idx" ON "container_distribution"("namespace_id");

-- CreateIndex
CREATE UNIQUE INDEX "container_blob_domain_id_digest_key" ON "container_blob"("domain_id", "digest");

-- CreateIndex
CREATE INDEX "container_manifest_config_blob_id_idx" ON "container_manifest"("config_blob_id");

-- CreateIndex
CREATE INDEX "container_manifest_subject_idx" ON "container_manifest"("subject");

-- CreateIndex
CREATE UNIQUE INDEX "container_manifest_domain_id_digest_key" ON "container_manifest"("domain_id", "digest");

-- CreateIndex
CREATE INDEX "container_manifest_blob_blob_id_idx" ON "container_manifest_blob"("blob_id");

-- CreateIndex
CREATE INDEX "container_manifest_list_item_manifest_id_idx" ON "container_manifest_list_item"("manifest_id");

-- CreateIndex
CREATE INDEX "container_tag_tagged_manifest_id_idx" ON "container_tag"("tagged_manifest_id");

-- CreateIndex
CREATE UNIQUE INDEX "container_tag_name_tagged_manifest_id_key" ON "container_tag"("name", "tagged_manifest_id");

-- CreateIndex
CREATE INDEX "container_signature_signed_manifest_id_idx" ON "container_signature"("signed_manifest_id");

-- CreateIndex
CREATE UNIQUE INDEX "container_signature_domain_id_name_key" ON "container_signature"("domain_id", "name");

-- CreateIndex
CREATE UNIQUE INDEX "domain_name_key" ON "domain"("name");

-- CreateIndex
CREATE UNIQUE INDEX "app_user_username_key" ON "app_user"("username");

-- CreateIndex
CREATE UNIQUE INDEX "content_guard_domain_id_name_key" ON "content_guard"("domain_id", "name");

-- CreateIndex
CREATE INDEX "remote_domain_id_pulp_type_idx" ON "remote"("domain_id", "pulp_type");

-- CreateIndex
CREATE UNIQUE INDEX "remote_domain_id_name_key" ON "remote"("domain_id", "name");

-- CreateIndex
CREATE INDEX "repository_remote_id_idx" ON "repository"("remote_id");

-- CreateIndex
CREATE INDEX "repository_domain_id_pulp_type_idx" ON "repository"("domain_id", "pulp_type");

-- CreateIndex
CREATE UNIQUE INDEX "repository_domain_id_name_key" ON "repository"("domain_id", "name");

-- CreateIndex
CREATE INDEX "repository_version_base_version_id_idx" ON "repository_version"("base_version_id");

-- CreateIndex
CREATE UNIQUE INDEX "repository_version_repository_id_number_key" ON "repository_version"("repository_id", "number");

-- CreateIndex
CREATE INDEX "repository_content_content_id_idx" ON "repository_content"("content_id");

-- CreateIndex
CREATE INDEX "repository_content_repository_id_version_added_idx" ON "repository_content"("repository_id", "version_added");

-- CreateIndex
CREATE INDEX "repository_content_repository_id_version_removed_idx" ON "repository_content"("repository_id", "version_removed");

-- CreateIndex
CREATE INDEX "content_artifact_id_idx" ON "content"("artifact_id");

-- CreateIndex
CREATE INDEX "content_domain_id_pulp_type_idx" ON "content"("domain_id", "pulp_type");

-- CreateIndex
CREATE INDEX "remote_content_remote_id_idx" ON "remote_content"("remote_id");

-- CreateIndex
CREATE UNIQUE INDEX "artifact_domain_id_sha256_key" ON "artifact"("domain_id", "sha256");

-- CreateIndex
CREATE INDEX "distribution_repository_id_idx" ON "distribution"("repository_id");

-- CreateIndex
CREATE INDEX "distribution_repository_version_id_idx" ON "distribution"("repository_version_id");

-- CreateIndex
CREATE INDEX "distribution_remote_id_idx" ON "distribution"("remote_id");

-- CreateIndex
CREATE INDEX "distribution_content_guard_id_idx" ON "distribution"("content_guard_id");

-- CreateIndex
CREATE UNIQUE INDEX "distribution_domain_id_name_key" ON "distribution"("domain_id", "name");

-- CreateIndex
CREATE UNIQUE INDEX "distribution_domain_id_base_path_key" ON "distribution"("domain_id", "base_path");

-- CreateIndex
CREATE UNIQUE INDEX "task_seq_key" ON "task"("seq");

-- CreateIndex
CREATE INDEX "task_state_finished_at_idx" ON "task"("state", "finished_at");

-- CreateIndex
CREATE INDEX "task_worker_id_idx" ON "task"("worker_id");

-- CreateIndex
CREATE INDEX "task_parent_task_id_idx" ON "task"("parent_task_id");

-- CreateIndex
CREATE INDEX "task_created_by_id_idx" ON "task"("created_by_id");

-- CreateIndex
CREATE INDEX "task_reserved_resources_record_idx" ON "task" USING GIN ("reserved_resources_record");

-- CreateIndex
CREATE INDEX "task_created_resources_idx" ON "task" USING GIN ("created_resources");

-- CreateIndex
CREATE INDEX "task_reservation_resource_exclusive_seq_idx" ON "task_reservation"("resource", "exclusive", "seq");

-- CreateIndex
CREATE INDEX "task_reservation_task_id_idx" ON "task_reservation"("task_id");

-- CreateIndex
CREATE INDEX "worker_app_type_last_heartbeat_idx" ON "worker"("app_type", "last_heartbeat");

-- AddForeignKey
ALTER TABLE "container_remote" ADD CONSTRAINT "container_remote_id_fkey" FOREIGN KEY ("id") REFERENCES "remote"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_repository" ADD CONSTRAINT "container_repository_id_fkey" FOREIGN KEY ("id") REFERENCES "repository"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_distribution" ADD CONSTRAINT "container_distribution_id_fkey" FOREIGN KEY ("id") REFERENCES "distribution"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_distribution" ADD CONSTRAINT "container_distribution_namespace_id_fkey" FOREIGN KEY ("namespace_id") REFERENCES "container_namespace"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_blob" ADD CONSTRAINT "container_blob_id_fkey" FOREIGN KEY ("id") REFERENCES "content"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_manifest" ADD CONSTRAINT "container_manifest_id_fkey" FOREIGN KEY ("id") REFERENCES "content"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_manifest" ADD CONSTRAINT "container_manifest_config_blob_id_fkey" FOREIGN KEY ("config_blob_id") REFERENCES "container_blob"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_manifest_blob" ADD CONSTRAINT "container_manifest_blob_manifest_id_fkey" FOREIGN KEY ("manifest_id") REFERENCES "container_manifest"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_manifest_blob" ADD CONSTRAINT "container_manifest_blob_blob_id_fkey" FOREIGN KEY ("blob_id") REFERENCES "container_blob"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_manifest_list_item" ADD CONSTRAINT "container_manifest_list_item_list_id_fkey" FOREIGN KEY ("list_id") REFERENCES "container_manifest"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_manifest_list_item" ADD CONSTRAINT "container_manifest_list_item_manifest_id_fkey" FOREIGN KEY ("manifest_id") REFERENCES "container_manifest"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_tag" ADD CONSTRAINT "container_tag_id_fkey" FOREIGN KEY ("id") REFERENCES "content"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_tag" ADD CONSTRAINT "container_tag_tagged_manifest_id_fkey" FOREIGN KEY ("tagged_manifest_id") REFERENCES "container_manifest"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_signature" ADD CONSTRAINT "container_signature_id_fkey" FOREIGN KEY ("id") REFERENCES "content"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "container_signature" ADD CONSTRAINT "container_signature_signed_manifest_id_fkey" FOREIGN KEY ("signed_manifest_id") REFERENCES "container_manifest"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "content_guard" ADD CONSTRAINT "content_guard_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "remote" ADD CONSTRAINT "remote_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "repository" ADD CONSTRAINT "repository_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "repository" ADD CONSTRAINT "repository_remote_id_fkey" FOREIGN KEY ("remote_id") REFERENCES "remote"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "repository_version" ADD CONSTRAINT "repository_version_repository_id_fkey" FOREIGN KEY ("repository_id") REFERENCES "repository"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "repository_version" ADD CONSTRAINT "repository_version_base_version_id_fkey" FOREIGN KEY ("base_version_id") REFERENCES "repository_version"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "repository_content" ADD CONSTRAINT "repository_content_repository_id_fkey" FOREIGN KEY ("repository_id") REFERENCES "repository"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "repository_content" ADD CONSTRAINT "repository_content_content_id_fkey" FOREIGN KEY ("content_id") REFERENCES "content"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "content" ADD CONSTRAINT "content_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "content" ADD CONSTRAINT "content_artifact_id_fkey" FOREIGN KEY ("artifact_id") REFERENCES "artifact"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "remote_content" ADD CONSTRAINT "remote_content_content_id_fkey" FOREIGN KEY ("content_id") REFERENCES "content"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "remote_content" ADD CONSTRAINT "remote_content_remote_id_fkey" FOREIGN KEY ("remote_id") REFERENCES "remote"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "artifact" ADD CONSTRAINT "artifact_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "distribution" ADD CONSTRAINT "distribution_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "distribution" ADD CONSTRAINT "distribution_repository_id_fkey" FOREIGN KEY ("repository_id") REFERENCES "repository"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "distribution" ADD CONSTRAINT "distribution_repository_version_id_fkey" FOREIGN KEY ("repository_version_id") REFERENCES "repository_version"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "distribution" ADD CONSTRAINT "distribution_content_guard_id_fkey" FOREIGN KEY ("content_guard_id") REFERENCES "content_guard"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "distribution" ADD CONSTRAINT "distribution_remote_id_fkey" FOREIGN KEY ("remote_id") REFERENCES "remote"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "task" ADD CONSTRAINT "task_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE RESTRICT ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "task" ADD CONSTRAINT "task_created_by_id_fkey" FOREIGN KEY ("created_by_id") REFERENCES "app_user"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "task" ADD CONSTRAINT "task_parent_task_id_fkey" FOREIGN KEY ("parent_task_id") REFERENCES "task"("id") ON DELETE SET NULL ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "task_reservation" ADD CONSTRAINT "task_reservation_task_id_fkey" FOREIGN KEY ("task_id") REFERENCES "task"("id") ON DELETE CASCADE ON UPDATE CASCADE;
