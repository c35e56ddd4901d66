-- +goose Up
-- What a message carries besides its payload. Rows of earlier versions have no
-- type, which says that nothing is known of it; later ones have '' for none.
--
-- Headers are kept as they are, not compressed, so that what they take is known
-- without reading them. Nothing is rewritten. As in 00013 every partition is
-- locked, so this gives up soon when it has to wait, and is tried again.
SET LOCAL lock_timeout = '2s';

ALTER TABLE messages ADD COLUMN type text, ADD COLUMN ordering_key text, ADD COLUMN headers jsonb;
ALTER TABLE messages ALTER COLUMN headers SET STORAGE EXTERNAL;

-- +goose Down
ALTER TABLE messages DROP COLUMN type, DROP COLUMN ordering_key, DROP COLUMN headers;
