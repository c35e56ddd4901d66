-- +goose Up
-- The trace that a message belongs to, so that it goes on with deliveries to
-- endpoints, which may come a day later and from another replica. Messages of those
-- who do not trace have none, which takes no room. Nothing is rewritten. As in 00013
-- every partition is locked, so this gives up soon when it has to wait, and is tried
-- again.
SET LOCAL lock_timeout = '2s';

ALTER TABLE messages ADD COLUMN trace_context text;

COMMENT ON COLUMN messages.trace_context IS 'The trace that it belongs to: a traceparent of W3C Trace Context, and behind a space the tracestate; NULL for none, or where headers say it';

-- +goose Down
ALTER TABLE messages DROP COLUMN trace_context;
