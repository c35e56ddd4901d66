-- +goose Up
-- The sequence must not cache: within a tenant a letter that is recorded later
-- has a higher id.
CREATE SEQUENCE dead_letter_ids;

CREATE TABLE dead_letters (
    tenant_id   uuid        NOT NULL,
    id          bigint      NOT NULL DEFAULT nextval('dead_letter_ids'),
    letter_id   uuid        NOT NULL,
    message_id  text        NOT NULL,
    body        bytea       NOT NULL,
    headers     jsonb       NOT NULL,
    reason      text        NOT NULL,
    error       text        NOT NULL,
    attempts    int         NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    replayed_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);

-- A letter that is delivered again is recorded once. The columns stand in
-- another order than in the primary key, so that the planner never takes one
-- index for the other.
CREATE UNIQUE INDEX dead_letters_letter_id_tenant_id_key ON dead_letters (letter_id, tenant_id);

-- What waits to be looked at, in the order in which it is read.
CREATE INDEX dead_letters_waiting_idx ON dead_letters (tenant_id, id) WHERE replayed_at IS NULL;

-- For the janitor.
CREATE INDEX dead_letters_replayed_at_idx ON dead_letters (replayed_at) WHERE replayed_at IS NOT NULL;
CREATE INDEX dead_letters_created_at_idx ON dead_letters (created_at) WHERE replayed_at IS NULL;

-- +goose Down
DROP TABLE dead_letters;
DROP SEQUENCE dead_letter_ids;
