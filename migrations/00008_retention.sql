-- +goose Up
ALTER TABLE tenants
    ADD COLUMN retention_days int NOT NULL DEFAULT 0 CHECK (retention_days BETWEEN 0 AND 3650);

-- Most tenants keep their messages for ever, and whoever looks for the others
-- need not read them.
CREATE INDEX tenants_retention_idx ON tenants (id) WHERE retention_days > 0;

-- The lowest seq of the history that is kept: what is below is deleted, or
-- about to be.
ALTER TABLE tenant_streams
    ADD COLUMN first_seq bigint NOT NULL DEFAULT 1;

-- +goose Down
ALTER TABLE tenant_streams DROP COLUMN first_seq;
DROP INDEX tenants_retention_idx;
ALTER TABLE tenants DROP COLUMN retention_days;
