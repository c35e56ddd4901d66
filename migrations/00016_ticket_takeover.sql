-- +goose Up
-- A client that comes back asks the stream that is still open with its ticket
-- to end: its holder sees this whenever it prolongs the claim.
ALTER TABLE stream_tickets ADD COLUMN takeover boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE stream_tickets DROP COLUMN takeover;
