-- +goose Up
SET LOCAL lock_timeout = '2s';

-- Which tenants have a user of the broker, to publish as by AMQP. The row is there
-- before the user is made, and until it is deleted, so that whatever is interrupted in
-- between is found again. The password is nowhere but at the broker, as a hash. There is
-- no foreign key: a tenant's row stays as a tombstone, and may be deleted by hand.
CREATE TABLE amqp_credentials (
    tenant_id  uuid        PRIMARY KEY,
    state      text        NOT NULL CHECK (state IN ('making', 'ready', 'revoking')),
    issued_at  timestamptz,
    -- When something was last tried, by which it is told what was left behind.
    touched_at timestamptz NOT NULL DEFAULT now(),
    created_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 70);

-- +goose Down
DROP TABLE amqp_credentials;
