-- +goose Up
CREATE TABLE idempotency (
    scope       uuid        NOT NULL,
    key         text        COLLATE "C" NOT NULL,
    hash        bytea       NOT NULL,
    resource_id uuid        NOT NULL,
    confirmed   boolean     NOT NULL DEFAULT false,
    expires_at  timestamptz NOT NULL,
    PRIMARY KEY (scope, key)
);

CREATE INDEX idempotency_expires_at_idx ON idempotency (expires_at);

-- +goose Down
DROP TABLE idempotency;
