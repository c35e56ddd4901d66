-- +goose Up
-- What a replica reports of a consumer says, too, how many messages it holds and why
-- they are not stored, so that every other one can explain it. Replicas of an older
-- version say nothing of it.
SET LOCAL lock_timeout = '2s';

ALTER TABLE consumer_reports
    ADD COLUMN held                bigint      NOT NULL DEFAULT -1,
    ADD COLUMN trouble             text        NOT NULL DEFAULT '',
    ADD COLUMN store_trouble       text        NOT NULL DEFAULT '',
    ADD COLUMN store_trouble_since timestamptz;

COMMENT ON COLUMN consumer_reports.held IS 'How many messages it has taken from the queue and not acknowledged; -1 while that is not known';
COMMENT ON COLUMN consumer_reports.trouble IS 'What keeps it from consuming, in a word; empty for nothing in particular';
COMMENT ON COLUMN consumer_reports.store_trouble IS 'What keeps its messages from being stored, in a word; empty for nothing';
COMMENT ON COLUMN consumer_reports.store_trouble_since IS 'Since when it does; NULL for nothing';

-- Looked for by who asks what became of a message. The columns stand in another order
-- than in the primary key, so that the planner never takes one index for the other.
CREATE INDEX dead_letters_message_id_tenant_id_idx ON dead_letters (message_id, tenant_id);

-- +goose Down
DROP INDEX dead_letters_message_id_tenant_id_idx;
ALTER TABLE consumer_reports
    DROP COLUMN held, DROP COLUMN trouble, DROP COLUMN store_trouble, DROP COLUMN store_trouble_since;
