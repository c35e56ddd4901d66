-- +goose Up
-- A tenant has several endpoints, and each reads the tenant's history. What there
-- was before, one endpoint for each tenant, goes on where it is: what is stored
-- already was on its way to it, and comes back by the queue where it still is.
--
-- Secrets and headers are encrypted where sealed_with names a key.
ALTER TABLE endpoints
    ADD COLUMN id                uuid        NOT NULL DEFAULT gen_random_uuid(),
    ADD COLUMN external_id       text,
    ADD COLUMN description       text        NOT NULL DEFAULT '',
    ADD COLUMN types             text[]      NOT NULL DEFAULT '{}',
    ADD COLUMN concurrency       int         NOT NULL DEFAULT 0 CHECK (concurrency BETWEEN 0 AND 100),
    ADD COLUMN rate              int         NOT NULL DEFAULT 0 CHECK (rate >= 0),
    ADD COLUMN ordering          text        NOT NULL DEFAULT 'none' CHECK (ordering IN ('none', 'fifo', 'key')),
    ADD COLUMN on_failure        text        NOT NULL DEFAULT 'block' CHECK (on_failure IN ('block', 'skip')),
    ADD COLUMN retry_schedule_ms bigint[]    NOT NULL DEFAULT '{5000,300000,1800000,7200000,18000000,36000000,36000000}',
    ADD COLUMN retry_final       int[]       NOT NULL DEFAULT '{}',
    ADD COLUMN headers           bytea,
    ADD COLUMN old_secret        bytea,
    ADD COLUMN old_secret_until  timestamptz,
    ADD COLUMN sealed_with       text        NOT NULL DEFAULT '',
    ADD COLUMN status            text        NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'held', 'disabled')),
    ADD COLUMN status_reason     text        NOT NULL DEFAULT '';

UPDATE endpoints SET status = 'disabled', status_reason = paused_reason WHERE paused_reason <> '';

ALTER TABLE endpoints DROP COLUMN paused_reason, DROP CONSTRAINT endpoints_pkey, ADD PRIMARY KEY (tenant_id, id);

CREATE UNIQUE INDEX endpoints_external_id_key ON endpoints (tenant_id, external_id) WHERE external_id IS NOT NULL;

-- Up to settled_seq every message is delivered to the endpoint, not meant for it,
-- given up, or has a row in deliveries. The version is that of the endpoint; it is
-- here too because whoever settles locks this row. Most settlements change the row
-- and nothing that is indexed; the free space keeps them within their page.
CREATE TABLE endpoint_cursors (
    tenant_id         uuid    NOT NULL,
    endpoint_id       uuid    NOT NULL,
    settled_seq       bigint  NOT NULL,
    version           bigint  NOT NULL,
    breaker_opened_at timestamptz,
    failing_since     timestamptz,
    reading_stopped   boolean NOT NULL DEFAULT false,
    PRIMARY KEY (tenant_id, endpoint_id)
) WITH (fillfactor = 40);

-- up_to says what an upgraded endpoint had stored before: of messages up to there
-- that come back from the broker, transmissions knows whether they were delivered.
CREATE TABLE upgraded_endpoints (
    tenant_id   uuid   PRIMARY KEY,
    endpoint_id uuid   NOT NULL,
    up_to       bigint NOT NULL
);

-- A tenant that is still being made has no stream yet.
INSERT INTO endpoint_cursors (tenant_id, endpoint_id, settled_seq, version)
SELECT e.tenant_id, e.id, coalesce(s.last_seq, 0), e.version FROM endpoints e LEFT JOIN tenant_streams s ON s.tenant_id = e.tenant_id;

INSERT INTO upgraded_endpoints (tenant_id, endpoint_id, up_to)
SELECT tenant_id, endpoint_id, settled_seq FROM endpoint_cursors;

-- What came back and has a row in deliveries is not to get another one.
ALTER TABLE transmissions DROP CONSTRAINT transmissions_state_check;

-- +goose Down
DELETE FROM endpoints e WHERE EXISTS (SELECT FROM endpoints o WHERE o.tenant_id = e.tenant_id AND o.id < e.id);
DROP TABLE upgraded_endpoints;
DROP TABLE endpoint_cursors;
DROP INDEX endpoints_external_id_key;
ALTER TABLE endpoints ADD COLUMN paused_reason text NOT NULL DEFAULT '';
UPDATE endpoints SET paused_reason = coalesce(nullif(status_reason, ''), status) WHERE status <> 'active';
ALTER TABLE endpoints DROP CONSTRAINT endpoints_pkey, ADD PRIMARY KEY (tenant_id);
ALTER TABLE endpoints
    DROP COLUMN id, DROP COLUMN external_id, DROP COLUMN description, DROP COLUMN types, DROP COLUMN concurrency,
    DROP COLUMN rate, DROP COLUMN ordering, DROP COLUMN on_failure, DROP COLUMN retry_schedule_ms, DROP COLUMN retry_final,
    DROP COLUMN headers, DROP COLUMN old_secret, DROP COLUMN old_secret_until, DROP COLUMN sealed_with,
    DROP COLUMN status, DROP COLUMN status_reason;
UPDATE transmissions SET state = 'retrying' WHERE state NOT IN ('retrying', 'succeeded', 'failed');
ALTER TABLE transmissions ADD CONSTRAINT transmissions_state_check CHECK (state IN ('retrying', 'succeeded', 'failed'));
