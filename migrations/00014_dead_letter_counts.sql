-- +goose Up
-- How long body and headers are as text, in bytes; letters of earlier versions
-- have none, and go by an estimate.
ALTER TABLE dead_letters ADD COLUMN bytes int;

-- How many letters of a tenant were not replayed. Tenants without one have no
-- row. It is kept by triggers, so that it is right whoever changes letters, and
-- counting costs nothing that grows with their number.
CREATE TABLE dead_letter_counts (
    tenant_id uuid   PRIMARY KEY,
    waiting   bigint NOT NULL
) WITH (fillfactor = 40);

-- A statement changes each of its tenants' counts once, as the last thing it
-- does, in the order of their ids: whoever waits for a count holds no count that
-- comes after it, so statements cannot deadlock. The names of the transition
-- tables do not depend on the operation, hence the three triggers.
-- +goose StatementBegin
CREATE FUNCTION lanekeeper_count_dead_letters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO dead_letter_counts AS c (tenant_id, waiting)
        SELECT tenant_id, count(*) FROM added WHERE replayed_at IS NULL GROUP BY tenant_id ORDER BY tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET waiting = c.waiting + excluded.waiting;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO dead_letter_counts AS c (tenant_id, waiting)
        SELECT tenant_id, -count(*) FROM removed WHERE replayed_at IS NULL GROUP BY tenant_id ORDER BY tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET waiting = c.waiting + excluded.waiting;
        DELETE FROM dead_letter_counts
        WHERE waiting = 0 AND tenant_id = ANY (ARRAY(SELECT DISTINCT tenant_id FROM removed));
    ELSE
        INSERT INTO dead_letter_counts AS c (tenant_id, waiting)
        SELECT tenant_id, sum(n) FROM (
            SELECT tenant_id, 1 AS n FROM added WHERE replayed_at IS NULL
            UNION ALL
            SELECT tenant_id, -1 FROM removed WHERE replayed_at IS NULL
        ) AS changes
        GROUP BY tenant_id HAVING sum(n) <> 0 ORDER BY tenant_id
        ON CONFLICT (tenant_id) DO UPDATE SET waiting = c.waiting + excluded.waiting;
        DELETE FROM dead_letter_counts
        WHERE waiting = 0 AND tenant_id = ANY (ARRAY(SELECT DISTINCT tenant_id FROM removed));
    END IF;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE FUNCTION lanekeeper_forget_dead_letters() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM dead_letter_counts;
    RETURN NULL;
END
$$;
-- +goose StatementEnd

-- Nobody changes letters from here to the end of the migration, so that the
-- count that it begins with is right.
CREATE TRIGGER dead_letters_inserted AFTER INSERT ON dead_letters REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_count_dead_letters();
CREATE TRIGGER dead_letters_updated AFTER UPDATE ON dead_letters REFERENCING OLD TABLE AS removed NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_count_dead_letters();
CREATE TRIGGER dead_letters_deleted AFTER DELETE ON dead_letters REFERENCING OLD TABLE AS removed
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_count_dead_letters();
CREATE TRIGGER dead_letters_truncated AFTER TRUNCATE ON dead_letters
    FOR EACH STATEMENT EXECUTE FUNCTION lanekeeper_forget_dead_letters();

INSERT INTO dead_letter_counts (tenant_id, waiting)
SELECT tenant_id, count(*) FROM dead_letters WHERE replayed_at IS NULL GROUP BY tenant_id;

-- +goose Down
DROP TRIGGER dead_letters_truncated ON dead_letters;
DROP TRIGGER dead_letters_deleted ON dead_letters;
DROP TRIGGER dead_letters_updated ON dead_letters;
DROP TRIGGER dead_letters_inserted ON dead_letters;
DROP FUNCTION lanekeeper_forget_dead_letters();
DROP FUNCTION lanekeeper_count_dead_letters();
DROP TABLE dead_letter_counts;
ALTER TABLE dead_letters DROP COLUMN bytes;
