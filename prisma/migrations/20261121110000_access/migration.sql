-- CreateTable
CREATE TABLE "app_group" (
    "id" SERIAL NOT NULL,
    "name" TEXT NOT NULL,

    CONSTRAINT "app_group_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "app_group_member" (
    "group_id" INTEGER NOT NULL,
    "user_id" INTEGER NOT NULL,

    CONSTRAINT "app_group_member_pkey" PRIMARY KEY ("group_id","user_id")
);

-- CreateTable
CREATE TABLE "role" (
    "id" UUID NOT NULL,
    "name" TEXT NOT NULL,
    "description" TEXT,
    "permissions" TEXT[] DEFAULT ARRAY[]::TEXT[],
    "locked" BOOLEAN NOT NULL DEFAULT false,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "role_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "role_assignment" (
    "id" UUID NOT NULL,
    "role_id" UUID NOT NULL,
    "user_id" INTEGER,
    "group_id" INTEGER,
    "domain_id" UUID,
    "object_type" TEXT,
    "object_id" UUID,
    "object_group_id" INTEGER,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "role_assignment_pkey" PRIMARY KEY ("id")
);

-- CreateTable
CREATE TABLE "access_policy" (
    "id" UUID NOT NULL,
    "viewset_name" TEXT NOT NULL,
    "statements" JSONB,
    "creation_hooks" JSONB,
    "queryset_scoping" JSONB,
    "customized" BOOLEAN NOT NULL DEFAULT false,
    "pulp_created" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "pulp_last_updated" TIMESTAMPTZ(6) NOT NULL DEFAULT CURRENT_TIMESTAMP,

    CONSTRAINT "access_policy_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE UNIQUE INDEX "app_group_name_key" ON "app_group"("name");

-- CreateIndex
CREATE INDEX "app_group_member_user_id_idx" ON "app_group_member"("user_id");

-- CreateIndex
CREATE UNIQUE INDEX "role_name_key" ON "role"("name");

-- CreateIndex
CREATE INDEX "role_permissions_idx" ON "role" USING GIN ("permissions");

-- CreateIndex
CREATE INDEX "role_assignment_object_id_idx" ON "role_assignment"("object_id");

-- CreateIndex
CREATE INDEX "role_assignment_object_group_id_idx" ON "role_assignment"("object_group_id");

-- CreateIndex
CREATE INDEX "role_assignment_role_id_idx" ON "role_assignment"("role_id");

-- CreateIndex
CREATE INDEX "role_assignment_user_id_object_type_object_id_idx" ON "role_assignment"("user_id", "object_type", "object_id");

-- CreateIndex
CREATE INDEX "role_assignment_group_id_object_type_object_id_idx" ON "role_assignment"("group_id", "object_type", "object_id");

-- CreateIndex
CREATE UNIQUE INDEX "access_policy_viewset_name_key" ON "access_policy"("viewset_name");

-- AddForeignKey
ALTER TABLE "app_group_member" ADD CONSTRAINT "app_group_member_group_id_fkey" FOREIGN KEY ("group_id") REFERENCES "app_group"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "app_group_member" ADD CONSTRAINT "app_group_member_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "app_user"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "role_assignment" ADD CONSTRAINT "role_assignment_role_id_fkey" FOREIGN KEY ("role_id") REFERENCES "role"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "role_assignment" ADD CONSTRAINT "role_assignment_user_id_fkey" FOREIGN KEY ("user_id") REFERENCES "app_user"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "role_assignment" ADD CONSTRAINT "role_assignment_group_id_fkey" FOREIGN KEY ("group_id") REFERENCES "app_group"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "role_assignment" ADD CONSTRAINT "role_assignment_object_group_id_fkey" FOREIGN KEY ("object_group_id") REFERENCES "app_group"("id") ON DELETE CASCADE ON UPDATE CASCADE;

-- AddForeignKey
ALTER TABLE "role_assignment" ADD CONSTRAINT "role_assignment_domain_id_fkey" FOREIGN KEY ("domain_id") REFERENCES "domain"("id") ON DELETE CASCADE ON UPDATE CASCADE;



-- A holder has a role on an object once. Expressions, because of nulls.
CREATE UNIQUE INDEX "role_assignment_once" ON "role_assignment" (
  "role_id", coalesce("user_id", 0), coalesce("group_id", 0), coalesce("object_type", ''),
  coalesce("object_id", '00000000-0000-0000-0000-000000000000'::uuid), coalesce("object_group_id", 0),
  coalesce("domain_id", '00000000-0000-0000-0000-000000000000'::uuid)
);

ALTER TABLE "role_assignment" ADD CONSTRAINT "role_assignment_one_holder" CHECK (num_nonnulls("user_id", "group_id") = 1);
ALTER TABLE "role_assignment" ADD CONSTRAINT "role_assignment_one_object"
  CHECK (num_nonnulls("object_id", "object_group_id") = num_nonnulls("object_type"));

-- What is deleted takes the roles on it along, however it is deleted.
CREATE FUNCTION "forget_roles"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM "role_assignment" WHERE "object_id" IN (SELECT "id" FROM "gone");
  RETURN NULL;
END $$;

CREATE TRIGGER "forget_roles" AFTER DELETE ON "remote" REFERENCING OLD TABLE AS "gone" FOR EACH STATEMENT EXECUTE FUNCTION "forget_roles"();
CREATE TRIGGER "forget_roles" AFTER DELETE ON "repository" REFERENCING OLD TABLE AS "gone" FOR EACH STATEMENT EXECUTE FUNCTION "forget_roles"();
CREATE TRIGGER "forget_roles" AFTER DELETE ON "distribution" REFERENCING OLD TABLE AS "gone" FOR EACH STATEMENT EXECUTE FUNCTION "forget_roles"();
CREATE TRIGGER "forget_roles" AFTER DELETE ON "content_guard" REFERENCING OLD TABLE AS "gone" FOR EACH STATEMENT EXECUTE FUNCTION "forget_roles"();
CREATE TRIGGER "forget_roles" AFTER DELETE ON "container_namespace" REFERENCING OLD TABLE AS "gone" FOR EACH STATEMENT EXECUTE FUNCTION "forget_roles"();
CREATE TRIGGER "forget_roles" AFTER DELETE ON "task" REFERENCING OLD TABLE AS "gone" FOR EACH STATEMENT EXECUTE FUNCTION "forget_roles"();
