-- +goose Up
-- external_id is the owner's own id of a tenant, and metadata what it keeps with it:
-- text by its keys.
ALTER TABLE tenants
    ADD COLUMN external_id text CHECK (external_id <> '' AND length(external_id) <= 255),
    ADD COLUMN metadata    jsonb NOT NULL DEFAULT '{}'
        CHECK (jsonb_typeof(metadata) = 'object' AND NOT jsonb_path_exists(metadata, 'strict $.* ? (@.type() <> "string")', '{}', true));

-- Tenants without an owner are one owner's, which no server before 15 has a word for. A
-- tenant that is being deleted has given its external id up.
CREATE UNIQUE INDEX tenants_external_id_key
    ON tenants (external_id, coalesce(user_id, '00000000-0000-0000-0000-000000000000'))
    WHERE external_id IS NOT NULL AND status NOT IN ('deleting', 'deleted');

CREATE INDEX tenants_metadata_idx ON tenants USING gin (metadata jsonb_path_ops);

-- +goose Down
ALTER TABLE tenants DROP COLUMN metadata, DROP COLUMN external_id;
