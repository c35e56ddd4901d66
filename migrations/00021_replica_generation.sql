-- +goose Up
-- Replicas of a generation run beside each other, and not beside those of another
-- one. Those before do not name theirs, and are refused: they would take tenants,
-- and cannot read this schema.
DELETE FROM replicas WHERE NOT (seen_at > now() - interval '10 s' AND seen_at < now() + interval '10 s');

ALTER TABLE replicas
    ADD COLUMN generation int NOT NULL DEFAULT 0,
    ADD CONSTRAINT replicas_generation_check CHECK (generation > 0);

-- +goose Down
ALTER TABLE replicas DROP COLUMN generation;
