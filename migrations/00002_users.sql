-- +goose Up
CREATE TABLE users (
    user_id       uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    name          text        NOT NULL,
    email         text        NOT NULL UNIQUE,
    password      text,
    role          text,
    tenant_id     uuid,
    token_version int         NOT NULL DEFAULT 0,
    created_at    timestamptz NOT NULL DEFAULT now()
);

-- Rows inserted by hand may spell the address with capitals.
CREATE UNIQUE INDEX users_lower_email_key ON users (lower(email));

-- +goose Down
DROP TABLE users;
