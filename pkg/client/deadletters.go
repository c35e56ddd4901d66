package client

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// DeadLetter is a message that was given up.
type DeadLetter struct {
	ID       int64  `json:"id"`
	TenantID string `json:"tenant_id"`
	// MessageID need not be a UUID; "" for none.
	MessageID string `json:"message_id"`
	// Reason is invalid_payload, invalid_headers, id_conflict, not_storable,
	// delivery_failed, transmit_failed, endpoint_paused or unknown.
	Reason   string `json:"reason"`
	Error    string `json:"error"`
	Attempts int    `json:"attempts"`
	// EndpointID and Seq are there for delivery_failed only.
	EndpointID  *string `json:"endpoint_id"`
	Seq         *int64  `json:"seq"`
	Type        string  `json:"type,omitempty"`
	OrderingKey string  `json:"ordering_key,omitempty"`
	// Body is the body where that is JSON; else BodyBase64 is, byte for byte.
	Body       json.RawMessage `json:"body,omitempty"`
	BodyBase64 *string         `json:"body_base64,omitempty"`
	Headers    map[string]any  `json:"headers"`
	CreatedAt  time.Time       `json:"created_at"`
	// ReplayedAt is when it was last sent again; nil for never.
	ReplayedAt *time.Time `json:"replayed_at"`
}

// DeadLetterFilter says which letters; the zero value is for all.
type DeadLetterFilter struct {
	Reason     string `json:"reason,omitempty"`
	EndpointID string `json:"endpoint_id,omitempty"`
	// From and To are between which times they were recorded; To is not included.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
}

func (f *DeadLetterFilter) addTo(q url.Values) {
	set(q, "reason", f.Reason)
	set(q, "endpoint_id", f.EndpointID)
	setTime(q, "from", f.From)
	setTime(q, "to", f.To)
}

// ListDeadLetters says which letters to list; the zero value is for all that were not
// replayed.
type ListDeadLetters struct {
	DeadLetterFilter

	// Replayed: those that were replayed, too.
	Replayed bool
	Cursor   string
	PageSize int
}

func (o *ListDeadLetters) query() url.Values {
	q := listing(o.Cursor, o.PageSize)
	o.addTo(q)
	if o.Replayed {
		q.Set("replayed", "true")
	}
	return q
}

// DeadLetterGroup is letters that have reason, endpoint and error in common.
type DeadLetterGroup struct {
	Reason     string  `json:"reason"`
	EndpointID *string `json:"endpoint_id"`
	// Error has placeholders for what differs, such as <number>.
	Error     string    `json:"error"`
	Count     int       `json:"count"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	ExampleID int64     `json:"example_id"`
}

// DeadLetterGroups are the 100 largest groups, the largest first.
type DeadLetterGroups struct {
	Data []DeadLetterGroup `json:"data"`
	// Others is how many letters are in other groups.
	Others int `json:"others"`
	// Counted is how many were looked at; Truncated says that there are more.
	Counted   int  `json:"counted"`
	Truncated bool `json:"truncated"`
}

// SelectDeadLetters says which letters a replay or a purge is for: one of the three.
type SelectDeadLetters struct {
	// IDs are at most 1000.
	IDs []int64 `json:"ids,omitempty"`
	// All is for all that there are when the call begins.
	All bool `json:"all,omitempty"`
	// Filter must say something.
	Filter *DeadLetterFilter `json:"filter,omitempty"`
}

// ReplayedLetters is what became of a replay.
type ReplayedLetters struct {
	// Replayed is how many were sent again, Skipped how many others were asked for.
	Replayed int `json:"replayed"`
	Skipped  int `json:"skipped"`
	// JobID is the job that does it, when there are more than 1,000; else "".
	JobID string `json:"job_id,omitempty"`
}

// PurgedLetters is what became of a purge.
type PurgedLetters struct {
	Deleted int64 `json:"deleted"`
	// JobID is the job that does it, when there are more than 1,000; else "".
	JobID string `json:"job_id,omitempty"`
}

// DeadLetterJob replays or deletes many letters.
type DeadLetterJob struct {
	ID       string `json:"job_id"`
	TenantID string `json:"tenant_id"`
	// Action is replay or delete.
	Action string `json:"action"`
	// State is running, done or canceled.
	State string `json:"state"`
	// Total is how many letters it is about, Done how many of them it has looked at, and
	// Skipped how many of these are as they were, or gone.
	Total   int64 `json:"total"`
	Done    int64 `json:"done"`
	Skipped int64 `json:"skipped"`
	// WaitsFor says why it does not get on at the moment; "" when it does.
	WaitsFor  string     `json:"waits_for"`
	CreatedAt time.Time  `json:"created_at"`
	EndedAt   *time.Time `json:"ended_at"`
}

// errWithoutID: a call about one letter names none, and would be about all.
var errWithoutID = errors.New("no dead letters are named")

// DeadLetters manages those of the client's tenant.
type DeadLetters struct{ scope *scope }

func (d *DeadLetters) call(method, path string, again repeat) *call {
	return &call{method: method, path: path, tenant: d.scope.tenant, again: again}
}

// List yields letters, the oldest first.
func (d *DeadLetters) List(ctx context.Context, o ListDeadLetters) iter.Seq2[DeadLetter, error] {
	r := d.call(http.MethodGet, "/dead-letters", always)
	r.query = o.query()
	return pages[DeadLetter](ctx, d.scope.api, r)
}

// DeadLetterSummary is a letter without what it carries.
type DeadLetterSummary struct {
	ID int64 `json:"id"`
	// MessageID and Type are the beginnings of those that the message had.
	MessageID  string  `json:"message_id"`
	Type       string  `json:"type"`
	EndpointID *string `json:"endpoint_id"`
	Reason     string  `json:"reason"`
	// Error is the beginning of the error.
	Error      string     `json:"error"`
	CreatedAt  time.Time  `json:"created_at"`
	ReplayedAt *time.Time `json:"replayed_at"`
}

// Summaries yields letters without what they carry, the newest first.
func (d *DeadLetters) Summaries(ctx context.Context, o ListDeadLetters) iter.Seq2[DeadLetterSummary, error] {
	r := d.call(http.MethodGet, "/dead-letters/summaries", always)
	r.query = o.query()
	return pages[DeadLetterSummary](ctx, d.scope.api, r)
}

// Jobs returns the jobs that run, and those that ran lately, the newest first.
func (d *DeadLetters) Jobs(ctx context.Context) ([]DeadLetterJob, error) {
	return listOf[DeadLetterJob](ctx, d.scope.api, d.call(http.MethodGet, "/dead-letters/jobs", always))
}

// Get returns one letter.
func (d *DeadLetters) Get(ctx context.Context, id int64) (*DeadLetter, error) {
	return fetch[DeadLetter](ctx, d.scope.api, d.call(http.MethodGet, join("dead-letters", strconv.FormatInt(id, 10)), always))
}

// Groups counts letters by what they have in common. Cursor and PageSize mean
// nothing here.
func (d *DeadLetters) Groups(ctx context.Context, o ListDeadLetters) (*DeadLetterGroups, error) {
	r := d.call(http.MethodGet, "/dead-letters/groups", always)
	o.Cursor, o.PageSize = "", 0
	r.query = o.query()
	return fetch[DeadLetterGroups](ctx, d.scope.api, r)
}

// Replay sends letters again. Those with ids are skipped when they were replayed
// before, so that such a call is tried again as reading is.
func (d *DeadLetters) Replay(ctx context.Context, which SelectDeadLetters) (*ReplayedLetters, error) {
	return changeLetters[ReplayedLetters](ctx, d, d.call(http.MethodPost, "/dead-letters/replay", refused), which)
}

// Purge deletes letters for good, whether they were replayed or not.
func (d *DeadLetters) Purge(ctx context.Context, which SelectDeadLetters) (*PurgedLetters, error) {
	return changeLetters[PurgedLetters](ctx, d, d.call(http.MethodDelete, "/dead-letters", refused), which)
}

func changeLetters[T any](ctx context.Context, d *DeadLetters, r *call, which SelectDeadLetters) (*T, error) {
	if len(which.IDs) == 0 && !which.All && which.Filter == nil {
		return nil, errWithoutID
	}
	if len(which.IDs) > 0 {
		r.again = always
	}
	r.body = which
	return fetch[T](ctx, d.scope.api, r)
}

// Job returns how far a job is.
func (d *DeadLetters) Job(ctx context.Context, id string) (*DeadLetterJob, error) {
	return fetch[DeadLetterJob](ctx, d.scope.api, d.call(http.MethodGet, join("dead-letters", "jobs", id), always))
}

// CancelJob ends a job.
func (d *DeadLetters) CancelJob(ctx context.Context, id string) (*DeadLetterJob, error) {
	return fetch[DeadLetterJob](ctx, d.scope.api, d.call(http.MethodDelete, join("dead-letters", "jobs", id), always))
}
