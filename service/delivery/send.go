package delivery

import (
	"maps"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/webhook"
)

// The headers of a delivery beside those of Standard Webhooks and of the endpoint.
const (
	headerSeq         = "Lanekeeper-Seq"
	headerType        = "Lanekeeper-Type"
	headerOrderingKey = "Lanekeeper-Ordering-Key"
	headerAttempt     = "Lanekeeper-Attempt"
	headerReplay      = "Lanekeeper-Replay"
	// headerPrefix comes before the names of the message's own headers.
	headerPrefix = "Lanekeeper-Header-"

	traceParent = "traceparent"
	traceState  = "tracestate"
)

// headers returns what goes along with a delivery: the endpoint's own headers, and
// what the message has beside its payload. Values that a header cannot have are
// percent-encoded.
func headers(target *domain.DeliveryTarget, m *domain.Message, attempt int, replay uuid.UUID) map[string]string {
	h := make(map[string]string, len(target.Headers)+len(m.Headers)+4)
	maps.Copy(h, target.Headers)
	for name, value := range m.Headers {
		if lower := strings.ToLower(name); lower == traceParent || lower == traceState {
			h[lower] = visible(value)
			continue
		}
		h[headerPrefix+headerName(name)] = visible(value)
	}
	if m.Trace != "" {
		h[traceParent] = m.Trace.Parent()
		if state := m.Trace.State(); state != "" {
			h[traceState] = state
		}
	}
	h[headerSeq] = strconv.FormatInt(m.Seq, 10)
	h[headerAttempt] = strconv.Itoa(attempt)
	if m.Type != "" {
		h[headerType] = visible(m.Type)
	}
	if m.OrderingKey != "" {
		h[headerOrderingKey] = visible(m.OrderingKey)
	}
	if replay != uuid.Nil {
		h[headerReplay] = replay.String()
	}
	return h
}

// headerName returns the name of a message's header as HTTP can have it: what came
// by AMQP may be named anything, and one name that is not a token would keep the
// whole delivery from being sent. All but letters, digits, '-', '_', '.' and '~' is
// percent-encoded.
func headerName(name string) string {
	return strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
}

// visible returns text as a header can have it: as it is when it is visible ASCII
// and spaces within, else percent-encoded.
func visible(text string) string {
	plain := text == strings.TrimSpace(text) && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' || r == '%' })
	if plain {
		return text
	}
	return url.PathEscape(text)
}

// attemptOf returns the record of an answer.
func attemptOf(target *domain.DeliveryTarget, e *entry, r *webhook.Result) domain.Attempt {
	a := domain.Attempt{
		TenantID: target.TenantID, EndpointID: target.ID, MessageID: e.message.ID, Seq: e.seq, ReplayID: e.replay,
		Number: e.attempts + 1, Probe: e.probe, Duration: r.Duration, Status: r.Status, Answer: r.Answer,
	}
	if id, err := uuid.NewV7(); err == nil {
		a.ID = id
	}
	if r.Err != nil {
		a.Error = r.Err.Error()
	}
	return a
}
