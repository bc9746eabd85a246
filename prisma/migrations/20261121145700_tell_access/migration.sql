-- Tells servers that somebody's rights may have become others, so that what they have decided is decided again. Every task comes and goes with
-- roles on it, which concern nobody else; logins are noted in app_user.
CREATE FUNCTION "tell_access"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  PERFORM pg_notify('deckle_access', '');
  RETURN NULL;
END $$;

CREATE TRIGGER "tell_access_given" AFTER INSERT OR UPDATE ON "role_assignment" FOR EACH ROW
  WHEN (NEW.object_type IS DISTINCT FROM 'core.task') EXECUTE FUNCTION "tell_access"();
CREATE TRIGGER "tell_access_taken" AFTER DELETE ON "role_assignment" FOR EACH ROW
  WHEN (OLD.object_type IS DISTINCT FROM 'core.task') EXECUTE FUNCTION "tell_access"();
CREATE TRIGGER "tell_access" AFTER UPDATE OR DELETE ON "role" FOR EACH STATEMENT EXECUTE FUNCTION "tell_access"();
CREATE TRIGGER "tell_access" AFTER INSERT OR UPDATE OR DELETE ON "app_group_member" FOR EACH STATEMENT EXECUTE FUNCTION "tell_access"();
CREATE TRIGGER "tell_access" AFTER UPDATE OR DELETE ON "app_group" FOR EACH STATEMENT EXECUTE FUNCTION "tell_access"();
CREATE TRIGGER "tell_access" AFTER UPDATE OF "username", "is_active", "is_superuser" OR DELETE ON "app_user"
  FOR EACH STATEMENT EXECUTE FUNCTION "tell_access"();
