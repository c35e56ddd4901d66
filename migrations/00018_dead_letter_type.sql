-- +goose Up
-- The type that a message came with; its ordering key and headers are in headers.
SET LOCAL lock_timeout = '2s';

ALTER TABLE dead_letters ADD COLUMN type text;

-- +goose Down
ALTER TABLE dead_letters DROP COLUMN type;
