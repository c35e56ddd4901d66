-- +goose Up
-- Who did what, when, and what it was before and is now; written in the transaction
-- of the change where there is one. There are no secrets and no payloads in it. Rows
-- outlive what they are about.
CREATE SEQUENCE audit_ids;

CREATE TABLE audit (
    id         bigint      PRIMARY KEY DEFAULT nextval('audit_ids'),
    at         timestamptz NOT NULL DEFAULT statement_timestamp(),
    actor_kind text        NOT NULL,
    actor_id   uuid,
    key_id     uuid,
    address    text,
    action     text        NOT NULL,
    tenant_id  uuid,
    target     text,
    request_id text,
    before     jsonb,
    after      jsonb
);
CREATE INDEX audit_tenant_id_id_idx ON audit (tenant_id, id) WHERE tenant_id IS NOT NULL;
CREATE INDEX audit_actor_id_id_idx ON audit (actor_id, id) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_action_id_idx ON audit (action, id);
CREATE INDEX audit_at_idx ON audit (at);

-- +goose Down
DROP TABLE audit;
DROP SEQUENCE audit_ids;
