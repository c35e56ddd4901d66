-- +goose Up
-- What an overview of all tenants asks for and nothing kept: when the last message of a
-- tenant was stored, how long the oldest one in its queue has waited, which version a
-- replica runs, and which replica a tenant moved from. Older replicas leave it as it is.
SET LOCAL lock_timeout = '2s';

ALTER TABLE tenant_streams ADD COLUMN last_stored_at timestamptz;
ALTER TABLE consumer_reports ADD COLUMN oldest_at timestamptz;
ALTER TABLE replicas ADD COLUMN version text NOT NULL DEFAULT '';

-- The last move of each tenant: as many rows as there are tenants, whatever moves.
CREATE TABLE tenant_moves (
    tenant_id uuid        PRIMARY KEY,
    replica   text        NOT NULL,
    previous  text,
    moved_at  timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

COMMENT ON COLUMN tenant_streams.last_stored_at IS 'When the last message was stored; NULL for none since this is kept';
COMMENT ON COLUMN consumer_reports.oldest_at IS 'What waits in the queue came at this time or later; NULL when that is not known, or nothing waits';
COMMENT ON COLUMN replicas.version IS 'Which version of the service it runs; empty for one that does not say';
COMMENT ON TABLE tenant_moves IS 'Which replica consumes each tenant, or did last, and which one before.';
COMMENT ON COLUMN tenant_moves.tenant_id IS 'The tenant';
COMMENT ON COLUMN tenant_moves.replica IS 'The replica that consumes it, or did last';
COMMENT ON COLUMN tenant_moves.previous IS 'The replica that consumed it before; NULL for none';
COMMENT ON COLUMN tenant_moves.moved_at IS 'Since when it is the one that it is';

-- +goose Down
DROP TABLE tenant_moves;
ALTER TABLE replicas DROP COLUMN version;
ALTER TABLE consumer_reports DROP COLUMN oldest_at;
ALTER TABLE tenant_streams DROP COLUMN last_stored_at;
