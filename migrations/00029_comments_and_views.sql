-- +goose Up
-- What people who work with SQL find: what tables and columns are, values for rows
-- that are inserted by hand, and two views.
SET LOCAL lock_timeout = '2s';

-- Ids that sort by time, as the service makes them: a version 7 UUID. The first 48 bits
-- are milliseconds, and the bits of the version follow.
-- +goose StatementBegin
CREATE FUNCTION lanekeeper_new_id() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT encode(set_bit(set_bit(overlay(
        uuid_send(gen_random_uuid()) PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3) FROM 1 FOR 6
    ), 52, 1), 53, 1), 'hex')::uuid
$$;
-- +goose StatementEnd

-- What comes without an encoding that is known is shown with escapes.
-- +goose StatementBegin
CREATE FUNCTION lanekeeper_text(body bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN convert_from(body, 'UTF8');
EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN encode(body, 'escape');
END
$$;
-- +goose StatementEnd

ALTER TABLE tenants
    ALTER COLUMN id SET DEFAULT lanekeeper_new_id(),
    ALTER COLUMN status SET DEFAULT 'provisioning',
    ALTER COLUMN workers SET DEFAULT 3;
ALTER TABLE users
    ALTER COLUMN user_id SET DEFAULT lanekeeper_new_id(),
    ALTER COLUMN role SET DEFAULT 'member';

-- The views see the rows of all tenants, because they do so as who owns them, whom no
-- policy holds: those who look are held to nothing before version 15. So nobody may read
-- them but the owner, and whom it allows that; at start the service allows it to its role
-- that sees all rows anyway.
CREATE VIEW tenant_overview AS
SELECT t.id, t.external_id, t.name, t.status, t.paused AS stopped, t.workers, t.user_id AS owner_id, u.email AS owner, t.metadata,
       coalesce(s.last_seq, 0) AS messages_stored, coalesce(s.last_seq - s.first_seq + 1, 0) AS messages_kept,
       r.state AS consumer, r.replica, nullif(r.depth, -1) AS waiting_in_queue,
       coalesce(d.waiting, 0) AS dead_letters,
       (SELECT count(*) FROM endpoints e WHERE e.tenant_id = t.id) AS endpoints,
       (SELECT count(*) FROM endpoints e WHERE e.tenant_id = t.id AND e.status <> 'active') AS endpoints_resting,
       t.created_at, t.updated_at
FROM tenants t
LEFT JOIN users u ON u.user_id = t.user_id
LEFT JOIN tenant_streams s ON s.tenant_id = t.id
LEFT JOIN consumer_reports r ON r.tenant_id = t.id
LEFT JOIN dead_letter_counts d ON d.tenant_id = t.id
WHERE t.status <> 'deleted';

CREATE VIEW dead_letters_readable AS
SELECT l.tenant_id, t.name AS tenant, t.external_id AS tenant_external_id, l.id, l.message_id, l.type, l.reason, l.error, l.attempts,
       l.endpoint_id, e.external_id AS endpoint_external_id, e.description AS endpoint, l.seq,
       lanekeeper_text(l.body) AS body, l.headers, l.created_at, l.replayed_at, l.replayed_at IS NULL AS waiting
FROM dead_letters l
LEFT JOIN tenants t ON t.id = l.tenant_id
LEFT JOIN endpoints e ON e.tenant_id = l.tenant_id AND e.id = l.endpoint_id;

COMMENT ON VIEW tenant_overview IS 'Each tenant in a line, with its owner, its history, its consumer, its dead letters and its endpoints.';
COMMENT ON VIEW dead_letters_readable IS 'Dead letters with their bodies as text, and with the names of tenants and endpoints.';

COMMENT ON TABLE tenants IS 'The tenants: what each of them should be. Deleted ones leave a row without a name, so that their ids are never used again.';
COMMENT ON COLUMN tenants.id IS 'The tenant. Made by the service, or here, so that ids sort by the time of their creation';
COMMENT ON COLUMN tenants.name IS 'Names may repeat; empty for deleted tenants';
COMMENT ON COLUMN tenants.description IS 'For people';
COMMENT ON COLUMN tenants.status IS 'provisioning, active, inactive, deleting or deleted. A row inserted as provisioning gets its queues and its partition within seconds';
COMMENT ON COLUMN tenants.target IS 'What a tenant that is being provisioned becomes: active or inactive';
COMMENT ON COLUMN tenants.workers IS 'How many messages may be in processing at a time, over the whole fleet';
COMMENT ON COLUMN tenants.paused IS 'Its consumer was stopped by a caller; the API says stopped';
COMMENT ON COLUMN tenants.user_id IS 'The owner, in users; NULL for none';
COMMENT ON COLUMN tenants.discarded IS 'How many messages were dropped with it when it was deleted';
COMMENT ON COLUMN tenants.created_at IS 'When it was created';
COMMENT ON COLUMN tenants.updated_at IS 'When the row was changed last';
COMMENT ON COLUMN tenants.deleted_at IS 'When it was gone; NULL before';
COMMENT ON COLUMN tenants.retention_days IS 'For how many days messages are kept; 0 for ever';
COMMENT ON COLUMN tenants.external_id IS 'The owner''s own id of it, unique for the owner while it is not being deleted; NULL for none';
COMMENT ON COLUMN tenants.metadata IS 'What the owner keeps with it: an object of text';

COMMENT ON TABLE users IS 'Who may log in.';
COMMENT ON COLUMN users.user_id IS 'The user';
COMMENT ON COLUMN users.name IS 'For people';
COMMENT ON COLUMN users.email IS 'Unique, whatever letters it is written in';
COMMENT ON COLUMN users.password IS 'An argon2id or bcrypt hash; NULL for a user who cannot log in';
COMMENT ON COLUMN users.role IS 'admin, member or viewer; NULL is member';
COMMENT ON COLUMN users.tenant_id IS 'The tenant that the user belongs to; NULL for none';
COMMENT ON COLUMN users.token_version IS 'Raised to end all tokens of the user';
COMMENT ON COLUMN users.created_at IS 'When it was added';
COMMENT ON COLUMN users.disabled_at IS 'Since when it may do nothing; NULL while it may';
COMMENT ON COLUMN users.limits IS 'Limits by their names that hold for this owner instead of those configured; NULL for none';

COMMENT ON TABLE messages IS 'The history: what was stored of all tenants, in a partition for each. Read it by tenant_id, or every partition is looked at.';
COMMENT ON COLUMN messages.id IS 'The message, unique in its tenant';
COMMENT ON COLUMN messages.tenant_id IS 'Whose it is';
COMMENT ON COLUMN messages.payload IS 'The JSON that was published, but for key order, white space and duplicate keys';
COMMENT ON COLUMN messages.created_at IS 'When it was stored';
COMMENT ON COLUMN messages.seq IS 'Its number in the tenant: 1, 2, 3, ... without holes';
COMMENT ON COLUMN messages.bytes IS 'Length of the payload as text; NULL for messages of earlier versions';
COMMENT ON COLUMN messages.type IS 'What kind of message it is; NULL for none';
COMMENT ON COLUMN messages.ordering_key IS 'Deliveries to endpoints with ordering key keep the order within it; NULL for none';
COMMENT ON COLUMN messages.headers IS 'An object of text that came with it; NULL for none';

COMMENT ON TABLE tenant_streams IS 'Where the history of each tenant ends and begins. Whoever stores locks the row.';
COMMENT ON COLUMN tenant_streams.tenant_id IS 'Whose history it is';
COMMENT ON COLUMN tenant_streams.last_seq IS 'The seq of the last message, and how many were ever stored';
COMMENT ON COLUMN tenant_streams.first_seq IS 'The seq of the first message that is kept';

COMMENT ON TABLE idempotency IS 'Idempotency keys of the last 24 hours.';
COMMENT ON COLUMN idempotency.scope IS 'The tenant that messages were published to, or the user who created tenants; zero for nobody';
COMMENT ON COLUMN idempotency.key IS 'The key';
COMMENT ON COLUMN idempotency.hash IS 'SHA-256 of what came with it';
COMMENT ON COLUMN idempotency.resource_id IS 'What is made with it';
COMMENT ON COLUMN idempotency.confirmed IS 'It was made';
COMMENT ON COLUMN idempotency.expires_at IS 'From when on the key can be used anew';

COMMENT ON TABLE secrets IS 'Secrets that the service makes for itself.';
COMMENT ON COLUMN secrets.name IS 'What it is for';
COMMENT ON COLUMN secrets.value IS 'The secret';
COMMENT ON COLUMN secrets.created_at IS 'When it was made';

COMMENT ON TABLE dead_letters IS 'Messages that were given up. dead_letters_readable shows them as text.';
COMMENT ON COLUMN dead_letters.tenant_id IS 'Whose it is';
COMMENT ON COLUMN dead_letters.id IS 'The letter, by which it is listed';
COMMENT ON COLUMN dead_letters.letter_id IS 'By which it is recorded once, however often it is delivered';
COMMENT ON COLUMN dead_letters.message_id IS 'The id of the message as its sender gave it';
COMMENT ON COLUMN dead_letters.body IS 'The body as received';
COMMENT ON COLUMN dead_letters.headers IS 'Its AMQP headers';
COMMENT ON COLUMN dead_letters.reason IS 'Why it was given up: invalid_payload, invalid_headers, id_conflict, not_storable, delivery_failed or one of the broker';
COMMENT ON COLUMN dead_letters.error IS 'What went wrong, for people';
COMMENT ON COLUMN dead_letters.attempts IS 'How often it was tried';
COMMENT ON COLUMN dead_letters.created_at IS 'When it was given up';
COMMENT ON COLUMN dead_letters.replayed_at IS 'When it was sent again; NULL while it waits';
COMMENT ON COLUMN dead_letters.bytes IS 'Length of body and headers as text';
COMMENT ON COLUMN dead_letters.type IS 'The type of the message; NULL for none';
COMMENT ON COLUMN dead_letters.endpoint_id IS 'The endpoint that did not take it; NULL where none is the reason';
COMMENT ON COLUMN dead_letters.seq IS 'The seq of the message, where it was stored';
COMMENT ON COLUMN dead_letters.round IS 'How often it was replayed to the endpoint before';

COMMENT ON TABLE dead_letter_counts IS 'How many dead letters of a tenant wait; kept by triggers. No row stands for none.';
COMMENT ON COLUMN dead_letter_counts.tenant_id IS 'Whose they are';
COMMENT ON COLUMN dead_letter_counts.waiting IS 'How many were not replayed';

COMMENT ON TABLE dead_letter_jobs IS 'Replays and deletions of many dead letters, which go on by themselves.';
COMMENT ON COLUMN dead_letter_jobs.tenant_id IS 'Whose letters they are';
COMMENT ON COLUMN dead_letter_jobs.id IS 'The job';
COMMENT ON COLUMN dead_letter_jobs.owner IS 'Whose share of the process it counts towards';
COMMENT ON COLUMN dead_letter_jobs.action IS 'replay or delete';
COMMENT ON COLUMN dead_letter_jobs.reason IS 'Only letters with this reason; NULL for any';
COMMENT ON COLUMN dead_letter_jobs.endpoint_id IS 'Only letters of this endpoint; NULL for any';
COMMENT ON COLUMN dead_letter_jobs.from_at IS 'Only letters from then on; NULL for any';
COMMENT ON COLUMN dead_letter_jobs.to_at IS 'Only letters until then; NULL for any';
COMMENT ON COLUMN dead_letter_jobs.last_letter IS 'The last letter that it is about';
COMMENT ON COLUMN dead_letter_jobs.state IS 'running, done, or how else it ended';
COMMENT ON COLUMN dead_letter_jobs.total IS 'How many letters it is about';
COMMENT ON COLUMN dead_letter_jobs.done IS 'How many it has done';
COMMENT ON COLUMN dead_letter_jobs.skipped IS 'How many it could not send again';
COMMENT ON COLUMN dead_letter_jobs.waits_for IS 'What it waits for; empty while it goes on';
COMMENT ON COLUMN dead_letter_jobs.cursor_id IS 'The last letter that it has looked at';
COMMENT ON COLUMN dead_letter_jobs.turn IS 'How many turns it has had';
COMMENT ON COLUMN dead_letter_jobs.turn_at IS 'When its turn began; NULL between turns';
COMMENT ON COLUMN dead_letter_jobs.due_at IS 'When others may take its turn';
COMMENT ON COLUMN dead_letter_jobs.created_at IS 'When it began';
COMMENT ON COLUMN dead_letter_jobs.ended_at IS 'When it ended; NULL before';

COMMENT ON TABLE endpoints IS 'Where messages of tenants are delivered to.';
COMMENT ON COLUMN endpoints.tenant_id IS 'Whose messages it gets';
COMMENT ON COLUMN endpoints.url IS 'Where they are sent';
COMMENT ON COLUMN endpoints.timeout_ms IS 'How long it may take to answer, in milliseconds';
COMMENT ON COLUMN endpoints.secret IS 'What messages are signed with; encrypted where sealed_with names a key';
COMMENT ON COLUMN endpoints.version IS 'Raised with each change';
COMMENT ON COLUMN endpoints.created_at IS 'When it was made';
COMMENT ON COLUMN endpoints.updated_at IS 'When it was changed last';
COMMENT ON COLUMN endpoints.id IS 'The endpoint';
COMMENT ON COLUMN endpoints.external_id IS 'The owner''s own id of it, unique in the tenant; NULL for none';
COMMENT ON COLUMN endpoints.description IS 'For people';
COMMENT ON COLUMN endpoints.types IS 'Patterns of the types that it gets; none for all';
COMMENT ON COLUMN endpoints.concurrency IS 'How many deliveries may be under way at a time; 0 for as many as the tenant has workers';
COMMENT ON COLUMN endpoints.rate IS 'How many deliveries may begin in a second; 0 for any number';
COMMENT ON COLUMN endpoints.ordering IS 'none, fifo or key';
COMMENT ON COLUMN endpoints.on_failure IS 'With fifo: block or skip';
COMMENT ON COLUMN endpoints.retry_schedule_ms IS 'The waits before the second, third, ... attempt, in milliseconds';
COMMENT ON COLUMN endpoints.retry_final IS 'Statuses after which nothing is tried again';
COMMENT ON COLUMN endpoints.headers IS 'Headers of the owner to be sent along; encrypted where sealed_with names a key';
COMMENT ON COLUMN endpoints.old_secret IS 'The secret before, which signs along; NULL for none';
COMMENT ON COLUMN endpoints.old_secret_until IS 'Until when it does';
COMMENT ON COLUMN endpoints.sealed_with IS 'The key of encryption_keys; empty for none';
COMMENT ON COLUMN endpoints.status IS 'active, held or disabled';
COMMENT ON COLUMN endpoints.status_reason IS 'Why it is disabled';

COMMENT ON TABLE endpoint_cursors IS 'How far each endpoint has got in the history.';
COMMENT ON COLUMN endpoint_cursors.tenant_id IS 'Whose endpoint it is';
COMMENT ON COLUMN endpoint_cursors.endpoint_id IS 'The endpoint';
COMMENT ON COLUMN endpoint_cursors.settled_seq IS 'Up to there every message was delivered, is not meant for it, was given up or is in deliveries';
COMMENT ON COLUMN endpoint_cursors.version IS 'That of the endpoint';
COMMENT ON COLUMN endpoint_cursors.breaker_opened_at IS 'Since when only one delivery is tried now and then; NULL while all are';
COMMENT ON COLUMN endpoint_cursors.failing_since IS 'Since when every attempt has failed; NULL otherwise';
COMMENT ON COLUMN endpoint_cursors.reading_stopped IS 'Too many messages wait behind failing keys';

COMMENT ON TABLE upgraded_endpoints IS 'Endpoints of versions that delivered by queues, until those are empty.';
COMMENT ON COLUMN upgraded_endpoints.tenant_id IS 'Whose it is';
COMMENT ON COLUMN upgraded_endpoints.endpoint_id IS 'The endpoint';
COMMENT ON COLUMN upgraded_endpoints.up_to IS 'What was stored before the upgrade: up to this seq';

COMMENT ON TABLE transmissions IS 'What versions that delivered by queues had on record of each message; nothing is added.';
COMMENT ON COLUMN transmissions.tenant_id IS 'Whose it is';
COMMENT ON COLUMN transmissions.message_id IS 'The message';
COMMENT ON COLUMN transmissions.state IS 'What became of it';
COMMENT ON COLUMN transmissions.attempts IS 'How often it was tried';
COMMENT ON COLUMN transmissions.last_status IS 'The last answer; 0 for none';
COMMENT ON COLUMN transmissions.updated_at IS 'When that was';

COMMENT ON TABLE deliveries IS 'Deliveries that a cursor has passed and that are still open.';
COMMENT ON COLUMN deliveries.tenant_id IS 'Whose it is';
COMMENT ON COLUMN deliveries.endpoint_id IS 'Where it goes';
COMMENT ON COLUMN deliveries.seq IS 'The seq of the message';
COMMENT ON COLUMN deliveries.message_id IS 'The message';
COMMENT ON COLUMN deliveries.ordering_key IS 'What it keeps the order within; NULL for nothing';
COMMENT ON COLUMN deliveries.attempts IS 'How often it was tried';
COMMENT ON COLUMN deliveries.round IS 'How often it was replayed after it was given up';
COMMENT ON COLUMN deliveries.replay_id IS 'The replay that it is part of; NULL for none';
COMMENT ON COLUMN deliveries.next_at IS 'When it is due; NULL while it waits for the one before it of its key';
COMMENT ON COLUMN deliveries.last_status IS 'The last answer; 0 for none';
COMMENT ON COLUMN deliveries.last_error IS 'What went wrong last';
COMMENT ON COLUMN deliveries.created_at IS 'Since when it is open';

COMMENT ON TABLE delivery_claims IS 'Which replica delivers the messages of a tenant.';
COMMENT ON COLUMN delivery_claims.tenant_id IS 'Whose messages they are';
COMMENT ON COLUMN delivery_claims.owner IS 'The replica; empty for none';
COMMENT ON COLUMN delivery_claims.epoch IS 'Raised with each owner';

COMMENT ON TABLE deliverers IS 'The replicas that deliver, with their heartbeats.';
COMMENT ON COLUMN deliverers.name IS 'The replica';
COMMENT ON COLUMN deliverers.leaving IS 'It takes no more tenants';
COMMENT ON COLUMN deliverers.seen_at IS 'Its last heartbeat';

COMMENT ON TABLE attempts IS 'Every attempt to deliver a message to an endpoint, in a partition for each day (UTC).';
COMMENT ON COLUMN attempts.id IS 'The attempt';
COMMENT ON COLUMN attempts.tenant_id IS 'Whose message it was';
COMMENT ON COLUMN attempts.endpoint_id IS 'Where it went';
COMMENT ON COLUMN attempts.message_id IS 'The message';
COMMENT ON COLUMN attempts.seq IS 'Its seq';
COMMENT ON COLUMN attempts.replay_id IS 'The replay that it was part of; NULL for none';
COMMENT ON COLUMN attempts.number IS 'The first, second, ... attempt';
COMMENT ON COLUMN attempts.probe IS 'One that an open breaker let through, which uses up no attempt';
COMMENT ON COLUMN attempts.at IS 'When it began';
COMMENT ON COLUMN attempts.duration_ms IS 'How long it took, in milliseconds';
COMMENT ON COLUMN attempts.status IS 'The status of the answer; 0 for none';
COMMENT ON COLUMN attempts.error IS 'What went wrong; empty for success';
COMMENT ON COLUMN attempts.answer IS 'The beginning of the answer';
COMMENT ON COLUMN attempts.next_at IS 'When it is tried again; NULL for never';

COMMENT ON TABLE replays IS 'Replays of ranges of the history to endpoints.';
COMMENT ON COLUMN replays.id IS 'The replay';
COMMENT ON COLUMN replays.tenant_id IS 'Whose messages they are';
COMMENT ON COLUMN replays.endpoint_id IS 'Where they go';
COMMENT ON COLUMN replays.from_seq IS 'The first message';
COMMENT ON COLUMN replays.to_seq IS 'The last message';
COMMENT ON COLUMN replays.only_failed IS 'Only those that were given up';
COMMENT ON COLUMN replays.last_letter IS 'With only_failed: the last dead letter that counts';
COMMENT ON COLUMN replays.types IS 'Only messages of these types; none for all';
COMMENT ON COLUMN replays.rate IS 'How many a second';
COMMENT ON COLUMN replays.state IS 'running, done or cancelled';
COMMENT ON COLUMN replays.cursor_seq IS 'The last message that it has looked at';
COMMENT ON COLUMN replays.total IS 'How many messages it is about';
COMMENT ON COLUMN replays.done IS 'How many of them it has begun to deliver';
COMMENT ON COLUMN replays.created_at IS 'When it began';
COMMENT ON COLUMN replays.ended_at IS 'When it ended; NULL before';

COMMENT ON TABLE replicas IS 'The replicas of the service, with their heartbeats: the fleet.';
COMMENT ON COLUMN replicas.name IS 'The replica';
COMMENT ON COLUMN replicas.address IS 'Where it answers';
COMMENT ON COLUMN replicas.started_at IS 'When it started';
COMMENT ON COLUMN replicas.seen_at IS 'Its last heartbeat; dead when that is 10 seconds old';
COMMENT ON COLUMN replicas.reaches_broker IS 'It can be given tenants';
COMMENT ON COLUMN replicas.generation IS 'Which versions it can run beside';

COMMENT ON TABLE consumer_reports IS 'What replicas report of their consumers. Lost when the server crashes, and said again.';
COMMENT ON COLUMN consumer_reports.tenant_id IS 'Whose consumer it is';
COMMENT ON COLUMN consumer_reports.replica IS 'Where it runs';
COMMENT ON COLUMN consumer_reports.state IS 'What it does';
COMMENT ON COLUMN consumer_reports.workers IS 'How many workers it has';
COMMENT ON COLUMN consumer_reports.busy IS 'How many of them work';
COMMENT ON COLUMN consumer_reports.depth IS 'How many messages wait in the queue; -1 while that is not known';
COMMENT ON COLUMN consumer_reports.tag IS 'Its consumer tag at the broker';
COMMENT ON COLUMN consumer_reports.since IS 'Since when it is in this state';
COMMENT ON COLUMN consumer_reports.last_error IS 'What went wrong last';
COMMENT ON COLUMN consumer_reports.reported_at IS 'When that was reported';

COMMENT ON TABLE login_failures IS 'Failed logins that still count, by account and address, by address, and of all.';
COMMENT ON COLUMN login_failures.key IS 'A hash of what it counts';
COMMENT ON COLUMN login_failures.until IS 'When it has stopped counting';

COMMENT ON TABLE stream_tickets IS 'Tickets with which browsers open streams, as hashes.';
COMMENT ON COLUMN stream_tickets.hash IS 'SHA-256 of the ticket';
COMMENT ON COLUMN stream_tickets.tenant_id IS 'Whose stream it opens';
COMMENT ON COLUMN stream_tickets.user_id IS 'Who asked for it; NULL for the built-in admin';
COMMENT ON COLUMN stream_tickets.token_version IS 'That of the holder''s token';
COMMENT ON COLUMN stream_tickets.token_expires_at IS 'When that token expires';
COMMENT ON COLUMN stream_tickets.expires_at IS 'When the ticket ends';
COMMENT ON COLUMN stream_tickets.usable_until IS 'Until when it can be used the first time, and expires_at after that';
COMMENT ON COLUMN stream_tickets.used IS 'It was used';
COMMENT ON COLUMN stream_tickets.claim IS 'The stream that has it open; NULL for none';
COMMENT ON COLUMN stream_tickets.claimed_until IS 'For how long that counts unless prolonged';
COMMENT ON COLUMN stream_tickets.takeover IS 'The client came back: the stream that has it open is to end';
COMMENT ON COLUMN stream_tickets.key_id IS 'The API key that asked for it; NULL for none';

COMMENT ON TABLE api_keys IS 'API keys, as hashes.';
COMMENT ON COLUMN api_keys.id IS 'The key, which is part of its text';
COMMENT ON COLUMN api_keys.hash IS 'SHA-256 of its secret';
COMMENT ON COLUMN api_keys.name IS 'For people';
COMMENT ON COLUMN api_keys.tenant_id IS 'The only tenant that it is for; NULL for all of its owner';
COMMENT ON COLUMN api_keys.user_id IS 'The owner who bounds what it may do; NULL for the built-in admin';
COMMENT ON COLUMN api_keys.created_by IS 'Who made it';
COMMENT ON COLUMN api_keys.scopes IS 'publish, read, manage, provision';
COMMENT ON COLUMN api_keys.expires_at IS 'When it expires; NULL for never';
COMMENT ON COLUMN api_keys.last_used_at IS 'When it was used last, to the minute';
COMMENT ON COLUMN api_keys.created_at IS 'When it was made';

COMMENT ON TABLE audit IS 'The audit log: who did what, when.';
COMMENT ON COLUMN audit.id IS 'The line';
COMMENT ON COLUMN audit.at IS 'When it was';
COMMENT ON COLUMN audit.actor_kind IS 'user, key, open, cli or whatever else did it';
COMMENT ON COLUMN audit.actor_id IS 'The user; NULL for none';
COMMENT ON COLUMN audit.key_id IS 'The API key; NULL for none';
COMMENT ON COLUMN audit.address IS 'Where the call came from';
COMMENT ON COLUMN audit.action IS 'What was done';
COMMENT ON COLUMN audit.tenant_id IS 'The tenant that it is about; NULL for none';
COMMENT ON COLUMN audit.target IS 'What was changed, other than the tenant itself';
COMMENT ON COLUMN audit.request_id IS 'The request';
COMMENT ON COLUMN audit.before IS 'What differs, as it was';
COMMENT ON COLUMN audit.after IS 'What differs, as it is';

COMMENT ON TABLE usage_days IS 'How many messages were stored for each tenant on each day (UTC), for invoices. Outlives messages and tenants.';
COMMENT ON COLUMN usage_days.tenant_id IS 'Whose they were';
COMMENT ON COLUMN usage_days.day IS 'The day';
COMMENT ON COLUMN usage_days.messages IS 'How many there were';
COMMENT ON COLUMN usage_days.bytes IS 'How long their payloads were as text';

COMMENT ON TABLE usage_cursors IS 'Up to where usage_days counts.';
COMMENT ON COLUMN usage_cursors.tenant_id IS 'Whose history it is';
COMMENT ON COLUMN usage_cursors.seq IS 'The last message that was counted';

COMMENT ON TABLE amqp_credentials IS 'Which tenants have a user of the broker, to publish as by AMQP. The password is at the broker alone.';
COMMENT ON COLUMN amqp_credentials.tenant_id IS 'Whose it is';
COMMENT ON COLUMN amqp_credentials.state IS 'making, ready or revoking';
COMMENT ON COLUMN amqp_credentials.issued_at IS 'When the password was made; NULL before';
COMMENT ON COLUMN amqp_credentials.touched_at IS 'When something was tried last';
COMMENT ON COLUMN amqp_credentials.created_at IS 'When it was asked for first';
-- +goose Down
DROP VIEW dead_letters_readable;
DROP VIEW tenant_overview;
ALTER TABLE users ALTER COLUMN role DROP DEFAULT, ALTER COLUMN user_id SET DEFAULT gen_random_uuid();
ALTER TABLE tenants ALTER COLUMN id DROP DEFAULT, ALTER COLUMN status DROP DEFAULT, ALTER COLUMN workers DROP DEFAULT;
DROP FUNCTION lanekeeper_text(bytea);
DROP FUNCTION lanekeeper_new_id();
