-- Uploads, schedules and groups of tasks take the roles on them along, too.
CREATE TRIGGER "forget_roles" AFTER DELETE ON "upload" REFERENCING OLD TABLE AS "gone" FOR EACH STATEMENT EXECUTE FUNCTION "forget_roles"();
CREATE TRIGGER "forget_roles" AFTER DELETE ON "task_schedule" REFERENCING OLD TABLE AS "gone" FOR EACH STATEMENT EXECUTE FUNCTION "forget_roles"();
CREATE TRIGGER "forget_roles" AFTER DELETE ON "task_group" REFERENCING OLD TABLE AS "gone" FOR EACH STATEMENT EXECUTE FUNCTION "forget_roles"();
