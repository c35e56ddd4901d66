package model

import (
	"math"
	"time"

	"lanekeeper/domain"
)

// Explanation says why messages of a tenant are not stored or not delivered.
type Explanation struct {
	At time.Time `json:"at" validate:"required" format:"date-time" example:"2026-11-21T10:12:00Z"`
	// Flows is true when nothing stops; something may be slow.
	Flows bool `json:"flows" validate:"required" example:"false"`
	// Sentence says it to a person, and help what would help.
	Sentence string `json:"sentence" validate:"required" example:"The consumer was stopped by ada@example.com at 10:00:05 UTC (12 minutes ago): 1,240 messages wait to be stored, and publishing goes on."`
	Help     string `json:"help,omitempty" example:"lanekeeper tenants start 0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// Causes begin with the one that matters most; none when everything flows.
	Causes []Cause `json:"causes" validate:"required"`
	// Backlog is how many messages are not stored yet; null when that is not known.
	Backlog *int64 `json:"backlog" validate:"required" extensions:"x-nullable" example:"1240"`
	// DrainRate is how many were stored in a second of late; null when that is not known.
	DrainRate *float64 `json:"drain_rate" validate:"required" extensions:"x-nullable" example:"0"`
	// ExpectedSeconds is how long it takes at that rate until what waits now, or the message, is stored; null when that is not known.
	ExpectedSeconds *float64 `json:"expected_seconds" validate:"required" extensions:"x-nullable" example:"5.8"`
} //@name Explanation

// MessageExplanation says where a message is, and why it is not further.
type MessageExplanation struct {
	MessageID string `json:"message_id" validate:"required" format:"uuid" example:"0197a3a3-11d2-7a51-9a3e-0242ac120003"`
	// State stored: it is in the history; waiting: it is not, and may be one of those that wait; dead_letter: it could not be stored; unknown: it is not there and nothing waits, or that cannot be found out.
	State string `json:"state" validate:"required" enums:"stored,waiting,dead_letter,unknown" example:"stored"`
	// Seq and stored_at are there for a stored one.
	Seq      *int64     `json:"seq" validate:"required" extensions:"x-nullable" example:"1842"`
	StoredAt *time.Time `json:"stored_at" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T10:00:00.123456Z"`
	// Position is at most the place that a waiting one has among those that wait; null when that is not known.
	Position *int64 `json:"position" validate:"required" extensions:"x-nullable" example:"1240"`
	Explanation
} //@name MessageExplanation

// Cause is one reason why messages stand, or what became of one at an endpoint.
type Cause struct {
	// Kind is one of those in docs/explain.md; there may be more in time.
	Kind string `json:"kind" validate:"required" example:"consumer_stopped"`
	// Stops is true when nothing goes on until it ends.
	Stops    bool   `json:"stops" validate:"required" example:"true"`
	Sentence string `json:"sentence" validate:"required" example:"The consumer was stopped by ada@example.com at 10:00:05 UTC (12 minutes ago): 1,240 messages wait to be stored, and publishing goes on."`
	Help     string `json:"help,omitempty" example:"lanekeeper tenants start 0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// Since is when it began, where that is known.
	Since *time.Time `json:"since,omitempty" format:"date-time" example:"2026-11-21T10:00:05Z"`
	// By is who did it, where the caller may know.
	By   *CauseActor `json:"by,omitempty"`
	Data CauseData   `json:"data" validate:"required"`
} //@name Cause

// CauseActor is who did something.
type CauseActor struct {
	Kind string `json:"kind" validate:"required" enums:"user,key,open,command,anonymous" example:"user"`
	// Name is the email address of a user, or the name of an API key.
	Name    string  `json:"name,omitempty" example:"ada@example.com"`
	UserID  *string `json:"user_id,omitempty" format:"uuid" example:"0197a3a2-0000-7000-8000-000000000001"`
	KeyID   *string `json:"key_id,omitempty" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120005"`
	Address string  `json:"address,omitempty" example:"203.0.113.7"`
} //@name CauseActor

// CauseData are the facts of a cause; what does not apply, or is not known, is left out.
type CauseData struct {
	EndpointID *string `json:"endpoint_id,omitempty" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120004"`
	MessageID  *string `json:"message_id,omitempty" format:"uuid" example:"0197a3a3-11d2-7a51-9a3e-0242ac120003"`
	// Seq is that of the message which others wait for.
	Seq int64 `json:"seq,omitempty" example:"1842"`
	// Waiting is how many messages wait.
	Waiting int64 `json:"waiting" validate:"required" example:"1240"`
	// Rate is how many go on in a second, and expected_seconds how long the last of them takes.
	Rate            *float64 `json:"rate,omitempty" example:"212.5"`
	ExpectedSeconds *float64 `json:"expected_seconds,omitempty" example:"5.8"`
	// Attempts were made, of at most max_attempts; the next is due at next_at.
	Attempts    int        `json:"attempts,omitempty" example:"3"`
	MaxAttempts int        `json:"max_attempts,omitempty" example:"8"`
	LastStatus  int        `json:"last_status,omitempty" example:"503"`
	NextAt      *time.Time `json:"next_at,omitempty" format:"date-time" example:"2026-11-21T10:05:00Z"`
	OrderingKey string     `json:"ordering_key,omitempty" example:"order-1842"`
	// LetterID is the dead letter.
	LetterID int64  `json:"letter_id,omitempty" example:"17"`
	Reason   string `json:"reason,omitempty" example:"invalid_payload"`
	Error    string `json:"error,omitempty" example:"status 503"`
	// ConsumerState and replica are of the consumer; replica is for admins.
	ConsumerState string `json:"consumer_state,omitempty" example:"reconnecting"`
	Replica       string `json:"replica,omitempty" example:"host-1c2d3e4f"`
	// Sessions are those of the database that have something locked; for admins.
	Sessions []LockHolder `json:"sessions,omitempty"`
	// Policy sets setting to value for a queue; for admins.
	Policy  string `json:"policy,omitempty" example:"short"`
	Setting string `json:"setting,omitempty" example:"message-ttl"`
	Value   string `json:"value,omitempty" example:"60000"`
} //@name CauseData

// LockHolder is a session of the database that has something locked.
type LockHolder struct {
	PID int `json:"pid" validate:"required" example:"4711"`
	// Locked is the table, or "row" for the row of the tenant's history.
	Locked      string     `json:"locked" validate:"required" example:"messages_0197a3a2_7d2c_7c3e_8f7e_0242ac120002"`
	User        string     `json:"user,omitempty" example:"postgres"`
	Application string     `json:"application,omitempty" example:"psql"`
	Address     string     `json:"address,omitempty" example:"10.0.0.9"`
	State       string     `json:"state,omitempty" example:"idle in transaction"`
	Query       string     `json:"query,omitempty" example:"LOCK TABLE messages"`
	Since       *time.Time `json:"since,omitempty" format:"date-time" example:"2026-11-21T09:58:00Z"`
} //@name LockHolder

// FromExplanation returns an explanation.
func FromExplanation(e *domain.Explanation) Explanation {
	answer := Explanation{At: e.At.UTC(), Flows: e.Flows, Sentence: e.Sentence, Help: e.Help, Causes: make([]Cause, len(e.Causes))}
	for i := range e.Causes {
		answer.Causes[i] = fromCause(&e.Causes[i])
	}
	if e.Backlog >= 0 {
		answer.Backlog = &e.Backlog
	}
	if e.Rate >= 0 {
		answer.DrainRate = hundredths(e.Rate)
	}
	answer.ExpectedSeconds = seconds(e.Expected)
	return answer
}

// FromMessageExplanation returns an explanation of a message.
func FromMessageExplanation(e *domain.Explanation) MessageExplanation {
	m := e.Message
	answer := MessageExplanation{
		MessageID: m.ID.String(), State: string(m.State), StoredAt: optionalTime(m.StoredAt), Explanation: FromExplanation(e),
	}
	if m.Seq > 0 {
		answer.Seq = &m.Seq
	}
	if m.Position > 0 {
		answer.Position = &m.Position
	}
	return answer
}

func fromCause(c *domain.Cause) Cause {
	shown := Cause{
		Kind: string(c.Kind), Stops: c.Stops, Sentence: c.Sentence, Help: c.Help, Since: optionalTime(c.Since),
		Data: CauseData{
			EndpointID: optionalID(c.EndpointID), MessageID: optionalID(c.MessageID), Seq: c.Seq, Waiting: c.Waiting, ExpectedSeconds: seconds(c.Expected),
			Attempts: c.Attempts, MaxAttempts: c.MaxAttempts, LastStatus: c.LastStatus, NextAt: optionalTime(c.NextAt), OrderingKey: c.OrderingKey,
			LetterID: c.LetterID, Reason: c.Reason, Error: c.Error, ConsumerState: string(c.State), Replica: c.Replica,
			Policy: c.Policy, Setting: c.Setting, Value: c.Value,
		},
	}
	if c.Rate >= 0 {
		shown.Data.Rate = hundredths(c.Rate)
	}
	for i := range c.Sessions {
		h := &c.Sessions[i]
		shown.Data.Sessions = append(shown.Data.Sessions, LockHolder{
			PID: h.PID, Locked: h.Locked, User: h.User, Application: h.Application, Address: h.Address, State: h.State, Query: h.Query, Since: optionalTime(h.Since),
		})
	}
	if by := c.By; by != nil {
		shown.By = &CauseActor{Kind: string(by.Kind), Name: by.Name, UserID: optionalID(by.UserID), KeyID: optionalID(by.KeyID), Address: by.Address}
	}
	return shown
}

// seconds returns nil for a time that is not known.
func seconds(d time.Duration) *float64 {
	if d <= 0 {
		return nil
	}
	return hundredths(d.Seconds())
}

// hundredths rounds to two places.
func hundredths(n float64) *float64 {
	return new(math.Round(100*n) / 100)
}
