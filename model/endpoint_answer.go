package model

import (
	"encoding/base64"
	"strings"
	"time"
	"unicode/utf8"

	"lanekeeper/domain"
)

// Endpoint is an endpoint as callers see it.
type Endpoint struct {
	ID       string `json:"id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120004"`
	TenantID string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// ExternalID is a name of your own; null for none.
	ExternalID  *string `json:"external_id" validate:"required" extensions:"x-nullable" example:"warehouse"`
	URL         string  `json:"url" validate:"required" example:"https://example.com/hooks/orders"`
	Description string  `json:"description" validate:"required" example:"Orders for the warehouse"`
	// Types are the patterns of the types of messages that it gets; none for all.
	Types     []string `json:"types" validate:"required" example:"order.*"`
	TimeoutMS int64    `json:"timeout_ms" validate:"required" example:"5000"`
	// Concurrency is null for as many as the tenant has workers.
	Concurrency *int   `json:"concurrency" validate:"required" extensions:"x-nullable" example:"5"`
	Rate        int    `json:"rate" validate:"required" example:"0"`
	Ordering    string `json:"ordering" validate:"required" enums:"none,fifo,key" example:"fifo"`
	// OnFailure is null unless ordering is fifo.
	OnFailure *string `json:"on_failure" validate:"required" enums:"block,skip" extensions:"x-nullable" example:"block"`
	Retry     Retry   `json:"retry" validate:"required"`
	// Headers have *** for their values.
	Headers map[string]string `json:"headers" validate:"required" example:"Authorization:***"`
	// Secret signs what is delivered. It is shown only when it was just made.
	Secret string `json:"secret,omitempty" example:"whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDdtpzqqGaj3M="`
	// OldSecretUntil is until when the secret before signs along; null where none does.
	OldSecretUntil *time.Time `json:"old_secret_until" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-22T10:00:00Z"`
	// Status held means that a caller holds it, and disabled that it answered 410, failed for days, or cannot be decrypted. All keep what is open. The first three end when it is resumed, the last when the key is back.
	Status string `json:"status" validate:"required" enums:"active,held,disabled" example:"active"`
	// StatusReason says why it is disabled; "" for nothing.
	StatusReason string `json:"status_reason" validate:"required" example:""`
	// Lag is how many messages it has not got yet: last_seq - settled_seq + open.
	Lag int64 `json:"lag" validate:"required" example:"3"`
	// SettledSeq is its cursor: every message up to it is delivered, not meant for it, given up, or open.
	SettledSeq int64 `json:"settled_seq" validate:"required" example:"1841"`
	// LastSeq is the highest seq of the history.
	LastSeq int64 `json:"last_seq" validate:"required" example:"1842"`
	// Open is how many deliveries the cursor has passed that are to be tried again.
	Open    int64   `json:"open" validate:"required" example:"2"`
	Breaker Breaker `json:"breaker" validate:"required"`
	// FailingSince is since when every attempt failed; null for an endpoint that does well.
	FailingSince *time.Time `json:"failing_since" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T10:00:00Z"`
	// ReadingStopped: so many deliveries wait behind others of their ordering_key that no more messages are read.
	ReadingStopped bool      `json:"reading_stopped" validate:"required" example:"false"`
	CreatedAt      time.Time `json:"created_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
	UpdatedAt      time.Time `json:"updated_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00Z"`
} //@name Endpoint

// Retry is a policy as callers see it.
type Retry struct {
	Schedule []string `json:"schedule" validate:"required" example:"5s,5m,30m,2h,5h,10h,10h"`
	Final    []int    `json:"final" validate:"required" example:"404"`
} //@name Retry

// Breaker says whether so many deliveries failed in a row that only one is tried
// every 30 seconds.
type Breaker struct {
	Open bool `json:"open" validate:"required" example:"false"`
	// Since is when it opened; null while it is closed.
	Since *time.Time `json:"since" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T10:00:00Z"`
} //@name Breaker

// EndpointList has all endpoints of a tenant.
type EndpointList struct {
	Data []Endpoint `json:"data" validate:"required"`
} //@name EndpointList

// FromEndpoint returns an endpoint as callers see it, without its secret. Now is the
// time by which an old secret has ended.
func FromEndpoint(r *domain.EndpointReport, now time.Time) Endpoint {
	e, p := &r.Endpoint, &r.Progress
	answer := Endpoint{
		ID: e.ID.String(), TenantID: e.TenantID.String(), ExternalID: optionalText(e.ExternalID), URL: e.URL, Description: e.Description,
		Types: make([]string, len(e.Types)), TimeoutMS: e.Timeout.Milliseconds(), Concurrency: optionalNumber(e.Concurrency), Rate: e.Rate,
		Ordering: string(e.Ordering), Retry: Retry{Schedule: make([]string, len(e.Retry.Schedule)), Final: append([]int{}, e.Retry.Final...)},
		Headers: make(map[string]string, len(e.Headers)), Status: string(e.Status), StatusReason: e.StatusReason,
		Lag: p.Lag(), SettledSeq: p.Settled, LastSeq: p.Last, Open: p.Open,
		Breaker:      Breaker{Open: !p.Health.BreakerOpenedAt.IsZero(), Since: optionalTime(p.Health.BreakerOpenedAt)},
		FailingSince: optionalTime(p.Health.FailingSince), ReadingStopped: p.Health.ReadingStopped,
		CreatedAt: e.CreatedAt.UTC(), UpdatedAt: e.UpdatedAt.UTC(),
	}
	for i, pattern := range e.Types {
		answer.Types[i] = string(pattern)
	}
	for i, wait := range e.Retry.Schedule {
		answer.Retry.Schedule[i] = durationText(wait)
	}
	for name := range e.Headers {
		answer.Headers[name] = domain.HeaderKept
	}
	if e.Ordering == domain.OrderingFIFO {
		answer.OnFailure = optionalText(string(e.OnFailure))
	}
	if e.Unreadable && e.Status == domain.EndpointActive { // as it is for those who deliver
		answer.Status, answer.StatusReason = string(domain.EndpointDisabled), domain.StatusUnreadable
	}
	if len(e.OldSecret) > 0 && now.Before(e.OldSecretUntil) {
		answer.OldSecretUntil = optionalTime(e.OldSecretUntil)
	}
	return answer
}

// WithSecret returns the endpoint as callers see it for whom the secret was just made.
func (e Endpoint) WithSecret(secret []byte) Endpoint {
	e.Secret = domain.FormatSecret(secret)
	return e
}

// FromEndpoints returns all endpoints of a tenant.
func FromEndpoints(reports []domain.EndpointReport, now time.Time) EndpointList {
	list := EndpointList{Data: make([]Endpoint, len(reports))}
	for i := range reports {
		list.Data[i] = FromEndpoint(&reports[i], now)
	}
	return list
}

// EndpointTest is the answer to POST .../test.
type EndpointTest struct {
	// Status is the HTTP status of the answer; null when there was none.
	Status *int `json:"status" validate:"required" extensions:"x-nullable" example:"204"`
	// Error says what is wrong; "" when the endpoint took the message.
	Error string `json:"error" validate:"required" example:""`
	// DurationMS is how long it took, in milliseconds.
	DurationMS int64 `json:"duration_ms" validate:"required" example:"41"`
	AnswerBody
} //@name EndpointTest

// AnswerBody is the beginning of the body of an endpoint's answer, at most 4 KiB.
type AnswerBody struct {
	// Answer is the body when it is text.
	Answer *string `json:"answer,omitempty" example:"thanks"`
	// AnswerBase64 is the body, byte for byte, when it is not.
	AnswerBase64 *string `json:"answer_base64,omitempty" example:"/9g="`
}

// FromEndpointTest returns the outcome of a test.
func FromEndpointTest(t *domain.EndpointTest) EndpointTest {
	return EndpointTest{Status: optionalNumber(t.Status), Error: t.Error, DurationMS: t.Duration.Milliseconds(), AnswerBody: answerBody(t.Answer)}
}

// answerBody takes text for text also where its last character was cut in the middle.
func answerBody(body []byte) AnswerBody {
	if len(body) == 0 {
		return AnswerBody{}
	}
	text := body
	for i := 1; i < utf8.UTFMax && i <= len(body); i++ {
		if tail := body[len(body)-i:]; utf8.RuneStart(tail[0]) && !utf8.FullRune(tail) {
			text = body[:len(body)-i]
		}
	}
	if utf8.Valid(text) && len(text) > 0 {
		return AnswerBody{Answer: new(string(text))}
	}
	return AnswerBody{AnswerBase64: new(base64.StdEncoding.EncodeToString(body))}
}

// durationText returns a duration without parts that are zero: 5m, not 5m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// optionalNumber, optionalText and optionalTime return nil for nothing.
func optionalNumber(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

func optionalText(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
