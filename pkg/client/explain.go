package client

import (
	"context"
	"net/http"
	"time"
)

// Explanation says why messages of a tenant are not stored or not delivered.
type Explanation struct {
	At time.Time `json:"at"`
	// Flows: nothing stops.
	Flows bool `json:"flows"`
	// Sentence says it to a person, and Help what would help; "" for nothing.
	Sentence string `json:"sentence"`
	Help     string `json:"help,omitempty"`
	// Causes begin with the one that matters most.
	Causes []Cause `json:"causes"`
	// Backlog is how many messages are not stored, DrainRate how many were stored in a
	// second of late, and ExpectedSeconds how long what waits takes; nil where that is not
	// known.
	Backlog         *int64   `json:"backlog"`
	DrainRate       *float64 `json:"drain_rate"`
	ExpectedSeconds *float64 `json:"expected_seconds"`
}

// MessageExplanation says where a message is, and why it is not further.
type MessageExplanation struct {
	MessageID string `json:"message_id"`
	// State is stored, waiting, dead_letter or unknown.
	State string `json:"state"`
	// Seq and StoredAt are nil for one that is not stored.
	Seq      *int64     `json:"seq"`
	StoredAt *time.Time `json:"stored_at"`
	// Position is at most the place that it has among those that wait; nil where that is
	// not known.
	Position *int64 `json:"position"`
	Explanation
}

// Cause is one reason why messages stand, or what became of one at an endpoint.
type Cause struct {
	// Kind is one of those in docs/explain.md; there may be more in time.
	Kind string `json:"kind"`
	// Stops: nothing goes on until it ends.
	Stops    bool   `json:"stops"`
	Sentence string `json:"sentence"`
	Help     string `json:"help,omitempty"`
	// Since is when it began; nil where that is not known.
	Since *time.Time `json:"since,omitempty"`
	// By is who did it; nil for nobody, and for nobody the caller may know of.
	By   *CauseActor `json:"by,omitempty"`
	Data CauseData   `json:"data"`
}

// CauseActor is who did something.
type CauseActor struct {
	// Kind is user, key, open, command or anonymous.
	Kind string `json:"kind"`
	// Name is the email address of a user, or the name of an API key.
	Name    string  `json:"name,omitempty"`
	UserID  *string `json:"user_id,omitempty"`
	KeyID   *string `json:"key_id,omitempty"`
	Address string  `json:"address,omitempty"`
}

// CauseData are the facts of a cause. What does not apply is zero.
type CauseData struct {
	EndpointID *string `json:"endpoint_id,omitempty"`
	MessageID  *string `json:"message_id,omitempty"`
	// Seq is that of the message which others wait for.
	Seq int64 `json:"seq,omitempty"`
	// Waiting is how many messages wait.
	Waiting         int64      `json:"waiting"`
	Rate            *float64   `json:"rate,omitempty"`
	ExpectedSeconds *float64   `json:"expected_seconds,omitempty"`
	Attempts        int        `json:"attempts,omitempty"`
	MaxAttempts     int        `json:"max_attempts,omitempty"`
	LastStatus      int        `json:"last_status,omitempty"`
	NextAt          *time.Time `json:"next_at,omitempty"`
	OrderingKey     string     `json:"ordering_key,omitempty"`
	LetterID        int64      `json:"letter_id,omitempty"`
	Reason          string     `json:"reason,omitempty"`
	Error           string     `json:"error,omitempty"`
	ConsumerState   string     `json:"consumer_state,omitempty"`
	// Replica, Sessions, Policy, Setting and Value are for admins.
	Replica  string       `json:"replica,omitempty"`
	Sessions []LockHolder `json:"sessions,omitempty"`
	Policy   string       `json:"policy,omitempty"`
	Setting  string       `json:"setting,omitempty"`
	Value    string       `json:"value,omitempty"`
}

// LockHolder is a session of the database that has something locked.
type LockHolder struct {
	PID int `json:"pid"`
	// Locked is the table, or row for the row of the tenant's history.
	Locked      string     `json:"locked"`
	User        string     `json:"user,omitempty"`
	Application string     `json:"application,omitempty"`
	Address     string     `json:"address,omitempty"`
	State       string     `json:"state,omitempty"`
	Query       string     `json:"query,omitempty"`
	Since       *time.Time `json:"since,omitempty"`
}

// Explain says why messages of a tenant are not stored or not delivered.
func (t *Tenants) Explain(ctx context.Context, id string) (*Explanation, error) {
	return fetch[Explanation](ctx, t.api, &call{method: http.MethodGet, path: join("tenants", id, "explain"), again: always})
}
