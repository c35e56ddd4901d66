-- +goose Up
-- Portal links are not kept: each carries the number that its tenant had when it was
-- made, and to raise that ends them all. To add a column with a constant default rewrites
-- nothing.
ALTER TABLE tenants ADD COLUMN portal_version int NOT NULL DEFAULT 0;

COMMENT ON COLUMN tenants.portal_version IS 'Raised to end the portal links of the tenant';
COMMENT ON COLUMN audit.key_id IS 'The API key, or of actor_kind portal the portal link; NULL for none';

-- +goose Down
COMMENT ON COLUMN audit.key_id IS 'The API key; NULL for none';
ALTER TABLE tenants DROP COLUMN portal_version;
