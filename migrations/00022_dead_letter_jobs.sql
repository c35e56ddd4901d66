-- +goose Up
SET LOCAL lock_timeout = '2s';

-- Pages of letters by endpoint, by reason and by time. What was replayed stands
-- apart from what waits: either may be almost everything. The tenant does not stand
-- first, so that the planner never takes one of these for the primary key.
CREATE INDEX dead_letters_endpoint_waiting_idx ON dead_letters (endpoint_id, tenant_id, id) WHERE endpoint_id IS NOT NULL AND replayed_at IS NULL;
CREATE INDEX dead_letters_endpoint_replayed_idx ON dead_letters (endpoint_id, tenant_id, id) WHERE endpoint_id IS NOT NULL AND replayed_at IS NOT NULL;
CREATE INDEX dead_letters_reason_waiting_idx ON dead_letters (reason, tenant_id, id) WHERE replayed_at IS NULL;
CREATE INDEX dead_letters_reason_replayed_idx ON dead_letters (reason, tenant_id, id) WHERE replayed_at IS NOT NULL;
CREATE INDEX dead_letters_tenant_created_at_idx ON dead_letters (tenant_id, created_at, id);

-- +goose Down
DROP INDEX dead_letters_tenant_created_at_idx;
DROP INDEX dead_letters_reason_replayed_idx;
DROP INDEX dead_letters_reason_waiting_idx;
DROP INDEX dead_letters_endpoint_replayed_idx;
DROP INDEX dead_letters_endpoint_waiting_idx;
