package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Attempt is one request to an endpoint with a message.
type Attempt struct {
	ID         string `json:"id"`
	EndpointID string `json:"endpoint_id"`
	MessageID  string `json:"message_id"`
	Seq        int64  `json:"seq"`
	// ReplayID is the replay that it was a part of; nil for none.
	ReplayID *string `json:"replay_id"`
	// Number counts the attempts of a delivery from 1.
	Number int `json:"number"`
	// Probe: it used up none of the schedule.
	Probe      bool      `json:"probe"`
	At         time.Time `json:"at"`
	DurationMS int64     `json:"duration_ms"`
	// Status is the HTTP status; nil when there was no answer.
	Status *int `json:"status"`
	// Error is "" for one that succeeded.
	Error string `json:"error"`
	Answer
	// NextAt is when the next one is due; nil for none.
	NextAt *time.Time `json:"next_at"`
}

// Answer is the beginning of what an endpoint answered.
type Answer struct {
	// Text is there when it is text, Base64 when it is not.
	Text   *string `json:"answer,omitempty"`
	Base64 *string `json:"answer_base64,omitempty"`
}

// EndpointTest is what became of a test.
type EndpointTest struct {
	// Status is the HTTP status; nil when there was no answer.
	Status *int `json:"status"`
	// Error is "" when the endpoint took the message.
	Error      string `json:"error"`
	DurationMS int64  `json:"duration_ms"`
	Answer
}

// AttemptOptions says which attempts; the zero value is for all.
type AttemptOptions struct {
	// Status is failed, succeeded, or "" for both.
	Status   string
	Cursor   string
	PageSize int
}

func (o *AttemptOptions) query() url.Values {
	q := listing(o.Cursor, o.PageSize)
	set(q, "status", o.Status)
	return q
}

// ReplayRange is which messages an endpoint is to get again. Seqs and times are
// inclusive, and left out where they are zero.
type ReplayRange struct {
	FromSeq int64     `json:"from_seq,omitempty"`
	ToSeq   int64     `json:"to_seq,omitempty"`
	From    time.Time `json:"from,omitzero"`
	To      time.Time `json:"to,omitzero"`
	// Only is failed, for what was given up, or all.
	Only  string   `json:"only,omitempty"`
	Types []string `json:"types,omitempty"`
	// Rate is how many deliveries begin in a second.
	Rate int `json:"rate,omitempty"`
	// DryRun only counts.
	DryRun bool `json:"dry_run,omitempty"`
}

// Replay delivers a range of messages to an endpoint again.
type Replay struct {
	// ID is "" for a dry run.
	ID         string `json:"id"`
	EndpointID string `json:"endpoint_id"`
	// State is running, done, canceled or dry_run.
	State   string   `json:"state"`
	FromSeq int64    `json:"from_seq"`
	ToSeq   int64    `json:"to_seq"`
	Only    string   `json:"only"`
	Types   []string `json:"types"`
	Rate    int      `json:"rate"`
	// Total is how many messages it is about, Done how many it has passed.
	Total     int64      `json:"total"`
	Done      int64      `json:"done"`
	CreatedAt *time.Time `json:"created_at"`
	EndedAt   *time.Time `json:"ended_at"`
}

// Hold keeps messages from being delivered to an endpoint, until it is resumed.
func (e *Endpoints) Hold(ctx context.Context, id string) (*Endpoint, error) {
	return endpointCall[Endpoint](ctx, e, call{method: http.MethodPost, again: always}, id, "hold")
}

// Resume lets messages be delivered again, also to one that was disabled.
func (e *Endpoints) Resume(ctx context.Context, id string) (*Endpoint, error) {
	return endpointCall[Endpoint](ctx, e, call{method: http.MethodPost, again: always}, id, "resume")
}

// Skip gives up the message that blocks an endpoint whose ordering is fifo, and
// returns the dead letter that it becomes.
func (e *Endpoints) Skip(ctx context.Context, id string) (*DeadLetter, error) {
	return endpointCall[DeadLetter](ctx, e, call{method: http.MethodPost}, id, "skip")
}

// Test sends a message to an endpoint and returns what it answered.
func (e *Endpoints) Test(ctx context.Context, id string) (*EndpointTest, error) {
	return endpointCall[EndpointTest](ctx, e, call{method: http.MethodPost}, id, "test")
}

// RotateSecret gives an endpoint another secret, which the answer has. The one before
// signs along for grace, at most 7 days; a negative grace is the default, 24 hours.
// An empty secret has one made.
func (e *Endpoints) RotateSecret(ctx context.Context, id string, grace time.Duration, secret string) (*Endpoint, error) {
	body := struct {
		Grace  string `json:"grace,omitempty"`
		Secret string `json:"secret,omitempty"`
	}{Secret: secret}
	if grace >= 0 {
		body.Grace = grace.String()
	}
	return endpointCall[Endpoint](ctx, e, call{method: http.MethodPost, body: body}, id, "rotate-secret")
}

// Attempts yields the attempts at an endpoint, the newest first.
func (e *Endpoints) Attempts(ctx context.Context, id string, o AttemptOptions) iter.Seq2[Attempt, error] {
	path, err := e.scope.path("endpoints", id, "attempts")
	if err != nil {
		return failed[Attempt](err)
	}
	return pages[Attempt](ctx, e.scope.api, &call{path: path, query: o.query()})
}

// AttemptSummary is how the attempts at an endpoint went in the last hour.
type AttemptSummary struct {
	// Since is from when on attempts count; Truncated says that there were more than
	// 10,000 in the hour, of which the newest count.
	Since     time.Time `json:"since"`
	Truncated bool      `json:"truncated"`
	// Attempts is how many there were, Succeeded how many of them the endpoint took.
	Attempts  int64 `json:"attempts"`
	Succeeded int64 `json:"succeeded"`
	// First is how many were the first of their delivery.
	First          int64 `json:"first"`
	FirstSucceeded int64 `json:"first_succeeded"`
	// P50MS and P99MS are how long they took, in milliseconds.
	P50MS int64 `json:"p50_ms"`
	P99MS int64 `json:"p99_ms"`
}

// AttemptSummary returns how the attempts at an endpoint went in the last hour.
func (e *Endpoints) AttemptSummary(ctx context.Context, id string) (*AttemptSummary, error) {
	return endpointCall[AttemptSummary](ctx, e, call{method: http.MethodGet, again: always}, id, "attempts", "summary")
}

// Replays returns the replays that an endpoint has and had lately, the newest first.
func (e *Endpoints) Replays(ctx context.Context, id string) ([]Replay, error) {
	path, err := e.scope.path("endpoints", id, "replays")
	if err != nil {
		return nil, err
	}
	return list[Replay](ctx, e.scope.api, path)
}

// Replay begins to deliver a range of messages to an endpoint again; an endpoint has
// one replay at a time (CodeReplayRunning).
func (e *Endpoints) Replay(ctx context.Context, id string, which ReplayRange) (*Replay, error) {
	r := call{method: http.MethodPost, body: which}
	if which.DryRun {
		r.again = always
	}
	return endpointCall[Replay](ctx, e, r, id, "replay")
}

// GetReplay returns how far a replay is.
func (e *Endpoints) GetReplay(ctx context.Context, id, replayID string) (*Replay, error) {
	return endpointCall[Replay](ctx, e, call{method: http.MethodGet, again: always}, id, "replays", replayID)
}

// CancelReplay ends a replay.
func (e *Endpoints) CancelReplay(ctx context.Context, id, replayID string) (*Replay, error) {
	return endpointCall[Replay](ctx, e, call{method: http.MethodDelete, again: always}, id, "replays", replayID)
}

// Resend delivers one message to an endpoint again.
func (e *Endpoints) Resend(ctx context.Context, id, messageID string) (*Endpoint, error) {
	path := join("messages", messageID, "endpoints", id, "resend")
	return fetch[Endpoint](ctx, e.scope.api, &call{method: http.MethodPost, path: path, tenant: e.scope.tenant})
}

// failed is a sequence that is only an error.
func failed[T any](err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) { yield(*new(T), err) }
}
