-- +goose Up
-- A ticket is kept as the hash of what its holder has. The holder is who asked
-- for it: user_id is NULL for the built-in admin of open mode, and
-- token_expires_at for a caller without a token.
--
-- usable_until is the end of the time for the first use, and expires_at once
-- that came. A claim is prolonged every few seconds, which the free space keeps
-- within the page.
CREATE TABLE stream_tickets (
    hash             bytea       PRIMARY KEY,
    tenant_id        uuid        NOT NULL,
    user_id          uuid,
    token_version    int         NOT NULL,
    token_expires_at timestamptz,
    expires_at       timestamptz NOT NULL,
    usable_until     timestamptz NOT NULL,
    used             boolean     NOT NULL DEFAULT false,
    claim            uuid,
    claimed_until    timestamptz
) WITH (fillfactor = 60);

-- For the janitor.
CREATE INDEX stream_tickets_usable_until_idx ON stream_tickets (usable_until);

-- +goose Down
DROP TABLE stream_tickets;
