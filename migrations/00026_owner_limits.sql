-- +goose Up
-- What an owner may have, where that differs from the configuration: an object with
-- some of the names of limits, and numbers, 0 for any number.
ALTER TABLE users ADD COLUMN limits jsonb;

-- How many messages, and bytes of them, were stored for a tenant on each day (UTC).
-- They are counted from the history, up to usage_cursors.seq, so that storing knows
-- nothing of it; and they outlive the history, and the tenant.
CREATE TABLE usage_days (
    tenant_id uuid   NOT NULL,
    day       date   NOT NULL,
    messages  bigint NOT NULL,
    bytes     bigint NOT NULL,
    PRIMARY KEY (tenant_id, day)
);
CREATE INDEX usage_days_day_idx ON usage_days (day);

CREATE TABLE usage_cursors (
    tenant_id uuid   PRIMARY KEY,
    seq       bigint NOT NULL
);

-- An owner's tenants of the last minute are counted when it creates another.
CREATE INDEX tenants_user_id_created_at_idx ON tenants (user_id, created_at) WHERE user_id IS NOT NULL;

-- +goose Down
DROP INDEX tenants_user_id_created_at_idx;
DROP TABLE usage_cursors;
DROP TABLE usage_days;
ALTER TABLE users DROP COLUMN limits;
