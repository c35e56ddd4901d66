-- +goose Up
-- How long the payload is as text, in bytes: what a reader gets, and not what
-- the store takes for it. Rows of earlier versions have none, so nothing is
-- rewritten; who reads them goes by an estimate.
--
-- Every partition gets the column, and for that every partition is locked, the
-- parent first. Who reads or appends waits meanwhile: so this gives up soon when
-- it has to wait itself, and is tried again. It is above deadlock_timeout, after
-- which an autovacuum that stands in the way is ended.
SET LOCAL lock_timeout = '2s';

ALTER TABLE messages ADD COLUMN bytes int;

-- +goose Down
ALTER TABLE messages DROP COLUMN bytes;
