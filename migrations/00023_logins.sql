-- +goose Up
SET LOCAL lock_timeout = '2s';

-- A user that is disabled cannot log in, and its tokens end.
ALTER TABLE users ADD COLUMN disabled_at timestamptz;

-- Hashes in another form than the one that is made now. A login that fails computes
-- each form that is left, so that all take the same time; once there is none, this
-- index is empty and says so at no cost.
CREATE INDEX users_password_form_idx ON users (
    substring(password from '^[$](?:2[aby][$][0-9][0-9]|argon2id[$]v=[0-9]+[$]m=[0-9]+,t=[0-9]+,p=[0-9]+)[$]')
) WHERE password NOT LIKE '$argon2id$v=19$m=19456,t=2,p=1$%';

-- How many logins have failed lately, under hashes of what they have in common: the
-- account and the address, the address, or nothing. A failure moves the time at which
-- all of them are forgotten further away. There is no index for the janitor: the rows
-- are few, because counting comes after hashing, and every row changes often.
CREATE TABLE login_failures (
    key   bytea       PRIMARY KEY,
    until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- +goose Down
DROP TABLE login_failures;
DROP INDEX users_password_form_idx;
ALTER TABLE users DROP COLUMN disabled_at;
