-- +goose Up
CREATE TABLE tenants (
    id          uuid        PRIMARY KEY,
    name        text        NOT NULL,
    description text        NOT NULL DEFAULT '',
    status      text        NOT NULL CHECK (status IN ('provisioning', 'active', 'inactive', 'deleting', 'deleted')),
    target      text        NOT NULL DEFAULT 'active',
    workers     int         NOT NULL CHECK (workers BETWEEN 1 AND 100),
    paused      boolean     NOT NULL DEFAULT false,
    user_id     uuid,
    discarded   bigint      NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    deleted_at  timestamptz
);

-- A caller lists the tenants it created, in the order of their ids.
CREATE INDEX tenants_user_id_id_idx ON tenants (user_id, id);

-- +goose Down
DROP TABLE tenants;
