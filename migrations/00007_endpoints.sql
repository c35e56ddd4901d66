-- +goose Up
-- Versions come from one sequence, so that an endpoint that is deleted and set
-- again never looks like the one before.
CREATE SEQUENCE endpoint_versions;

CREATE TABLE endpoints (
    tenant_id     uuid        PRIMARY KEY,
    url           text        NOT NULL,
    timeout_ms    int         NOT NULL CHECK (timeout_ms BETWEEN 100 AND 15000),
    secret        bytea       NOT NULL,
    paused_reason text        NOT NULL DEFAULT '',
    version       bigint      NOT NULL DEFAULT nextval('endpoint_versions'),
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now()
);

-- What is known of a message's way to the endpoint. A row is updated at most
-- once per attempt; the free space keeps these updates within their page.
CREATE TABLE transmissions (
    tenant_id   uuid        NOT NULL,
    message_id  uuid        NOT NULL,
    state       text        NOT NULL CHECK (state IN ('retrying', 'succeeded', 'failed')),
    attempts    int         NOT NULL,
    last_status int         NOT NULL DEFAULT 0,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, message_id)
) WITH (fillfactor = 80);

-- +goose Down
DROP TABLE transmissions;
DROP TABLE endpoints;
DROP SEQUENCE endpoint_versions;
