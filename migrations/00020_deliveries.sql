-- +goose Up
-- What an endpoint's cursor has passed and is still open. Without a time it waits
-- until the one before it of its key is done.
CREATE TABLE deliveries (
    tenant_id    uuid        NOT NULL,
    endpoint_id  uuid        NOT NULL,
    seq          bigint      NOT NULL,
    message_id   uuid        NOT NULL,
    ordering_key text,
    attempts     int         NOT NULL DEFAULT 0,
    round        int         NOT NULL DEFAULT 0,
    replay_id    uuid,
    next_at      timestamptz,
    last_status  int         NOT NULL DEFAULT 0,
    last_error   text        NOT NULL DEFAULT '',
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, endpoint_id, seq)
) WITH (fillfactor = 80);

-- Indexes that leave rows out are never taken for the primary key by a planner that
-- thinks the table small.
CREATE INDEX deliveries_next_at_idx ON deliveries (tenant_id, endpoint_id, next_at) WHERE next_at IS NOT NULL;
CREATE INDEX deliveries_ordering_key_idx ON deliveries (tenant_id, endpoint_id, ordering_key, seq) WHERE ordering_key IS NOT NULL;

-- Who delivers a tenant's messages: nobody where owner is ''.
CREATE TABLE delivery_claims (
    tenant_id uuid   PRIMARY KEY,
    owner     text   NOT NULL,
    epoch     bigint NOT NULL
) WITH (fillfactor = 40);

-- The replicas that deliver. One that is leaving gets no tenants any more, and
-- keeps those that it has until it releases them.
CREATE TABLE deliverers (
    name    text        PRIMARY KEY,
    leaving boolean     NOT NULL DEFAULT false,
    seen_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Every attempt, in a partition for each day (UTC), which is dropped as a whole.
CREATE TABLE attempts (
    id          uuid        NOT NULL,
    tenant_id   uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    message_id  uuid        NOT NULL,
    seq         bigint      NOT NULL,
    replay_id   uuid,
    number      int         NOT NULL,
    probe       boolean     NOT NULL,
    at          timestamptz NOT NULL,
    duration_ms int         NOT NULL,
    status      int         NOT NULL,
    error       text        NOT NULL,
    answer      bytea,
    next_at     timestamptz
) PARTITION BY RANGE (at);

CREATE INDEX attempts_endpoint_idx ON attempts (tenant_id, endpoint_id, at);
CREATE INDEX attempts_message_idx ON attempts (tenant_id, message_id);
-- Most attempts succeed, and most of those who look for some look for the others.
CREATE INDEX attempts_failed_idx ON attempts (tenant_id, endpoint_id, at) WHERE error <> '';

-- Members are fixed when a replay begins: up to to_seq, and with only_failed those
-- with a dead letter up to last_letter.
CREATE TABLE replays (
    id          uuid        NOT NULL,
    tenant_id   uuid        NOT NULL,
    endpoint_id uuid        NOT NULL,
    from_seq    bigint      NOT NULL,
    to_seq      bigint      NOT NULL,
    only_failed boolean     NOT NULL,
    last_letter bigint      NOT NULL,
    types       text[]      NOT NULL,
    rate        int         NOT NULL,
    state       text        NOT NULL CHECK (state IN ('running', 'done', 'canceled')),
    cursor_seq  bigint      NOT NULL,
    total       bigint      NOT NULL,
    done        bigint      NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    PRIMARY KEY (tenant_id, endpoint_id, id)
) WITH (fillfactor = 80);

CREATE UNIQUE INDEX replays_running_key ON replays (tenant_id, endpoint_id) WHERE state = 'running';

-- Dead letters of deliveries name their endpoint, their message's place in the
-- history, and how often they were replayed before.
ALTER TABLE dead_letters
    ADD COLUMN endpoint_id uuid,
    ADD COLUMN seq         bigint,
    ADD COLUMN round       int NOT NULL DEFAULT 0;

CREATE INDEX dead_letters_endpoint_idx ON dead_letters (tenant_id, endpoint_id, seq) WHERE endpoint_id IS NOT NULL;

-- +goose Down
DROP INDEX dead_letters_endpoint_idx;
ALTER TABLE dead_letters DROP COLUMN endpoint_id, DROP COLUMN seq, DROP COLUMN round;
DROP TABLE replays;
DROP TABLE attempts;
DROP TABLE deliverers;
DROP TABLE delivery_claims;
DROP TABLE deliveries;
