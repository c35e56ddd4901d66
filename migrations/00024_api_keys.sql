-- +goose Up
SET LOCAL lock_timeout = '2s';

-- Keys with which machines call. The secret is kept as its hash. tenant_id is NULL for
-- a key of an owner, which is for all tenants of that user; user_id is the user whose
-- rights bound the key, and NULL for the built-in admin of open mode. There are no
-- foreign keys, because people delete and truncate users by SQL: a key whose user or
-- tenant is gone opens nothing, and a janitor deletes it.
CREATE TABLE api_keys (
    id           uuid        PRIMARY KEY,
    hash         bytea       NOT NULL,
    name         text        NOT NULL,
    tenant_id    uuid,
    user_id      uuid,
    created_by   uuid,
    scopes       text[]      NOT NULL,
    expires_at   timestamptz,
    last_used_at timestamptz,
    created_at   timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

CREATE INDEX api_keys_tenant_id_idx ON api_keys (tenant_id) WHERE tenant_id IS NOT NULL;
CREATE INDEX api_keys_user_id_idx ON api_keys (user_id);

-- Replicas keep keys in memory, and are told of what changes them; not of new ones, of
-- which they know nothing, and not of last_used_at, which changes all the time: a commit
-- that notifies waits for all others that do.
-- +goose StatementBegin
CREATE FUNCTION lanekeeper_notify_key() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('lanekeeper_changes', 'key:' || OLD.id);
    RETURN NULL;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER api_keys_updated AFTER UPDATE ON api_keys FOR EACH ROW
    WHEN (ROW (OLD.id, OLD.hash, OLD.tenant_id, OLD.user_id, OLD.scopes, OLD.expires_at)
        IS DISTINCT FROM ROW (NEW.id, NEW.hash, NEW.tenant_id, NEW.user_id, NEW.scopes, NEW.expires_at))
    EXECUTE FUNCTION lanekeeper_notify_key();
CREATE TRIGGER api_keys_deleted AFTER DELETE ON api_keys REFERENCING OLD TABLE AS touched
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify_rows('key', 'id', 'anything');
CREATE TRIGGER api_keys_truncated AFTER TRUNCATE ON api_keys
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_notify('anything');

-- The key that a ticket was asked for with. Its token_version is then -1, which no user
-- has: replicas of before, which know nothing of keys, refuse such a ticket.
ALTER TABLE stream_tickets ADD COLUMN key_id uuid;

-- +goose Down
DELETE FROM stream_tickets WHERE key_id IS NOT NULL;
ALTER TABLE stream_tickets DROP COLUMN key_id;
DROP TABLE api_keys;
DROP FUNCTION lanekeeper_notify_key();
