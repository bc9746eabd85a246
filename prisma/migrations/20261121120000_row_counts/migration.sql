-- CreateTable
CREATE TABLE "row_count" (
    "id" BIGSERIAL NOT NULL,
    "table_name" TEXT NOT NULL,
    "pulp_type" TEXT NOT NULL,
    "rows" BIGINT NOT NULL,

    CONSTRAINT "row_count_pkey" PRIMARY KEY ("id")
);

-- CreateIndex
CREATE INDEX "row_count_table_name_pulp_type_idx" ON "row_count"("table_name", "pulp_type");

-- What a statement has added to a table, or taken from it: one more row, so that nobody waits for anybody. See docs/adr/018-totals-are-kept.md.
CREATE FUNCTION "count_rows"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "row_count" ("table_name", "pulp_type", "rows")
  SELECT TG_TABLE_NAME, '', CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END FROM "changed" HAVING count(*) > 0;
  RETURN NULL;
END $$;

-- The same for a table whose rows are of several types.
CREATE FUNCTION "count_rows_of_types"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO "row_count" ("table_name", "pulp_type", "rows")
  SELECT TG_TABLE_NAME, "pulp_type", CASE TG_OP WHEN 'INSERT' THEN count(*) ELSE -count(*) END FROM "changed" GROUP BY "pulp_type";
  RETURN NULL;
END $$;

-- Each trigger shuts out who writes to its table until the end of this transaction. So what is counted after them is all that there is.
CREATE TRIGGER "count_inserted" AFTER INSERT ON "artifact" REFERENCING NEW TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows"();
CREATE TRIGGER "count_deleted" AFTER DELETE ON "artifact" REFERENCING OLD TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows"();
CREATE TRIGGER "count_inserted" AFTER INSERT ON "audit_entry" REFERENCING NEW TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows"();
CREATE TRIGGER "count_deleted" AFTER DELETE ON "audit_entry" REFERENCING OLD TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows"();
CREATE TRIGGER "count_inserted" AFTER INSERT ON "content" REFERENCING NEW TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows_of_types"();
CREATE TRIGGER "count_deleted" AFTER DELETE ON "content" REFERENCING OLD TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows_of_types"();
CREATE TRIGGER "count_inserted" AFTER INSERT ON "content_guard" REFERENCING NEW TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows_of_types"();
CREATE TRIGGER "count_deleted" AFTER DELETE ON "content_guard" REFERENCING OLD TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows_of_types"();
CREATE TRIGGER "count_inserted" AFTER INSERT ON "distribution" REFERENCING NEW TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows_of_types"();
CREATE TRIGGER "count_deleted" AFTER DELETE ON "distribution" REFERENCING OLD TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows_of_types"();
CREATE TRIGGER "count_inserted" AFTER INSERT ON "remote" REFERENCING NEW TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows_of_types"();
CREATE TRIGGER "count_deleted" AFTER DELETE ON "remote" REFERENCING OLD TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows_of_types"();
CREATE TRIGGER "count_inserted" AFTER INSERT ON "repository" REFERENCING NEW TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows_of_types"();
CREATE TRIGGER "count_deleted" AFTER DELETE ON "repository" REFERENCING OLD TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows_of_types"();
CREATE TRIGGER "count_inserted" AFTER INSERT ON "repository_version" REFERENCING NEW TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows"();
CREATE TRIGGER "count_deleted" AFTER DELETE ON "repository_version" REFERENCING OLD TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows"();
CREATE TRIGGER "count_inserted" AFTER INSERT ON "task" REFERENCING NEW TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows"();
CREATE TRIGGER "count_deleted" AFTER DELETE ON "task" REFERENCING OLD TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows"();
CREATE TRIGGER "count_inserted" AFTER INSERT ON "task_group" REFERENCING NEW TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows"();
CREATE TRIGGER "count_deleted" AFTER DELETE ON "task_group" REFERENCING OLD TABLE AS "changed" FOR EACH STATEMENT EXECUTE FUNCTION "count_rows"();

INSERT INTO "row_count" ("table_name", "pulp_type", "rows")
SELECT 'artifact', '', count(*) FROM "artifact" HAVING count(*) > 0
UNION ALL SELECT 'audit_entry', '', count(*) FROM "audit_entry" HAVING count(*) > 0
UNION ALL SELECT 'content', "pulp_type", count(*) FROM "content" GROUP BY "pulp_type"
UNION ALL SELECT 'content_guard', "pulp_type", count(*) FROM "content_guard" GROUP BY "pulp_type"
UNION ALL SELECT 'distribution', "pulp_type", count(*) FROM "distribution" GROUP BY "pulp_type"
UNION ALL SELECT 'remote', "pulp_type", count(*) FROM "remote" GROUP BY "pulp_type"
UNION ALL SELECT 'repository', "pulp_type", count(*) FROM "repository" GROUP BY "pulp_type"
UNION ALL SELECT 'repository_version', '', count(*) FROM "repository_version" HAVING count(*) > 0
UNION ALL SELECT 'task', '', count(*) FROM "task" HAVING count(*) > 0
UNION ALL SELECT 'task_group', '', count(*) FROM "task_group" HAVING count(*) > 0;
