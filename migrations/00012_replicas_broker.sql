-- +goose Up
-- Replicas of an older version say nothing, which is taken for a no.
ALTER TABLE replicas
    ADD COLUMN reaches_broker boolean NOT NULL DEFAULT false;

-- +goose Down
ALTER TABLE replicas DROP COLUMN reaches_broker;
