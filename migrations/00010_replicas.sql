-- +goose Up
-- A heartbeat is an update of the same few rows, which the free space keeps
-- within their page.
CREATE TABLE replicas (
    name       text        PRIMARY KEY,
    address    text        NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- What replicas tell of their consumers is said again after a crash, so it
-- need not survive one. A depth of -1 is one that is not known.
CREATE UNLOGGED TABLE consumer_reports (
    tenant_id   uuid        PRIMARY KEY,
    replica     text        NOT NULL,
    state       text        NOT NULL,
    workers     int         NOT NULL,
    busy        int         NOT NULL,
    depth       bigint      NOT NULL,
    tag         text        NOT NULL,
    since       timestamptz,
    last_error  text        NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE consumer_reports;
DROP TABLE replicas;
