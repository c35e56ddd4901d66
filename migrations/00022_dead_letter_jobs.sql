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

-- Replays and deletions of many letters: those up to last_letter that were there when
-- it began, and that match. Whoever works on a job has its turn; others may take it at
-- due_at. A tenant has one at a time.
CREATE TABLE dead_letter_jobs (
    tenant_id   uuid        NOT NULL,
    id          uuid        NOT NULL,
    owner       text        NOT NULL,
    action      text        NOT NULL CHECK (action IN ('replay', 'delete')),
    reason      text,
    endpoint_id uuid,
    from_at     timestamptz,
    to_at       timestamptz,
    last_letter bigint      NOT NULL,
    state       text        NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'canceled')),
    total       bigint      NOT NULL,
    done        bigint      NOT NULL DEFAULT 0,
    skipped     bigint      NOT NULL DEFAULT 0,
    waits_for   text        NOT NULL DEFAULT '',
    cursor_id   bigint      NOT NULL DEFAULT 0,
    turn        bigint      NOT NULL DEFAULT 0,
    turn_at     timestamptz,
    due_at      timestamptz NOT NULL DEFAULT now(),
    created_at  timestamptz NOT NULL DEFAULT now(),
    ended_at    timestamptz,
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 50);

CREATE UNIQUE INDEX dead_letter_jobs_running_key ON dead_letter_jobs (tenant_id) WHERE state = 'running';
CREATE INDEX dead_letter_jobs_ended_at_idx ON dead_letter_jobs (ended_at) WHERE ended_at IS NOT NULL;

-- +goose Down
DROP TABLE dead_letter_jobs;
DROP INDEX dead_letters_tenant_created_at_idx;
DROP INDEX dead_letters_reason_replayed_idx;
DROP INDEX dead_letters_reason_waiting_idx;
DROP INDEX dead_letters_endpoint_replayed_idx;
DROP INDEX dead_letters_endpoint_waiting_idx;
