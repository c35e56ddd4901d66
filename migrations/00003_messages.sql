-- +goose Up
-- Within a partition tenant_id is the same everywhere, so either order of the
-- columns of an index serves its purpose. They begin with different columns
-- on purpose: as long as a new partition has no statistics the planner thinks
-- it small, finds two indexes on (tenant_id, ...) equally good for looking up
-- an id, and may read the whole partition by the wrong one.
CREATE TABLE messages (
    id         uuid        NOT NULL,
    tenant_id  uuid        NOT NULL,
    payload    jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    seq        bigint      NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE (seq, tenant_id)
) PARTITION BY LIST (tenant_id);

-- The row is locked and raised by every batch of its tenant; the free space
-- keeps these updates within their page.
CREATE TABLE tenant_streams (
    tenant_id uuid   PRIMARY KEY,
    last_seq  bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 40);

-- +goose Down
DROP TABLE tenant_streams;
DROP TABLE messages;
