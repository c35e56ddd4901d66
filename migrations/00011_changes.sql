-- +goose Up
-- Who changes what others keep in memory tells them, whether it is the service
-- or somebody with psql. Only tables that people and settings change have such
-- triggers: a commit that notifies waits for all others that do, so those
-- that every message touches must have none.
--
-- The arguments are what the rows are (tenant or user), the column with the
-- id, and what is said instead when there are more than 50.
-- +goose StatementBegin
CREATE FUNCTION lanekeeper_notify_rows() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ids text[];
BEGIN
    EXECUTE format('SELECT array_agg(id) FROM (SELECT %I::text FROM touched LIMIT 51) few (id)', TG_ARGV[1]) INTO ids;
    IF cardinality(ids) > 50 THEN
        PERFORM pg_notify('lanekeeper_changes', TG_ARGV[2]);
    ELSE
        PERFORM pg_notify('lanekeeper_changes', TG_ARGV[0] || ':' || id) FROM unnest(ids) AS id;
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- An upsert fires the trigger for inserted rows also when it only updated one;
-- heartbeats are such upserts.
-- +goose StatementBegin
CREATE FUNCTION lanekeeper_notify_replicas() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM touched) THEN
        PERFORM pg_notify('lanekeeper_changes', 'replicas');
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- Nobody can tell which rows a TRUNCATE removed. The argument is what to say.
-- +goose StatementBegin
CREATE FUNCTION lanekeeper_notify() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('lanekeeper_changes', TG_ARGV[0]);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER tenants_inserted AFTER INSERT ON tenants REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify_rows('tenant', 'id', 'tenants');
CREATE TRIGGER tenants_updated AFTER UPDATE ON tenants REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify_rows('tenant', 'id', 'tenants');
CREATE TRIGGER tenants_deleted AFTER DELETE ON tenants REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify_rows('tenant', 'id', 'tenants');
CREATE TRIGGER tenants_truncated AFTER TRUNCATE ON tenants
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify('tenants');

CREATE TRIGGER endpoints_inserted AFTER INSERT ON endpoints REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify_rows('tenant', 'tenant_id', 'tenants');
CREATE TRIGGER endpoints_updated AFTER UPDATE ON endpoints REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify_rows('tenant', 'tenant_id', 'tenants');
CREATE TRIGGER endpoints_deleted AFTER DELETE ON endpoints REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify_rows('tenant', 'tenant_id', 'tenants');
CREATE TRIGGER endpoints_truncated AFTER TRUNCATE ON endpoints
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify('tenants');

CREATE TRIGGER users_inserted AFTER INSERT ON users REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify_rows('user', 'user_id', 'anything');
CREATE TRIGGER users_updated AFTER UPDATE ON users REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify_rows('user', 'user_id', 'anything');
CREATE TRIGGER users_deleted AFTER DELETE ON users REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify_rows('user', 'user_id', 'anything');
CREATE TRIGGER users_truncated AFTER TRUNCATE ON users
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify('anything');

CREATE TRIGGER replicas_inserted AFTER INSERT ON replicas REFERENCING NEW TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify_replicas();
CREATE TRIGGER replicas_deleted AFTER DELETE ON replicas REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify_replicas();
CREATE TRIGGER replicas_truncated AFTER TRUNCATE ON replicas
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify('replicas');

-- +goose Down
DROP TRIGGER replicas_truncated ON replicas;
DROP TRIGGER replicas_deleted ON replicas;
DROP TRIGGER replicas_inserted ON replicas;
DROP TRIGGER users_truncated ON users;
DROP TRIGGER users_deleted ON users;
DROP TRIGGER users_updated ON users;
DROP TRIGGER users_inserted ON users;
DROP TRIGGER endpoints_truncated ON endpoints;
DROP TRIGGER endpoints_deleted ON endpoints;
DROP TRIGGER endpoints_updated ON endpoints;
DROP TRIGGER endpoints_inserted ON endpoints;
DROP TRIGGER tenants_truncated ON tenants;
DROP TRIGGER tenants_deleted ON tenants;
DROP TRIGGER tenants_updated ON tenants;
DROP TRIGGER tenants_inserted ON tenants;
DROP FUNCTION lanekeeper_notify();
DROP FUNCTION lanekeeper_notify_replicas();
DROP FUNCTION lanekeeper_notify_rows();
