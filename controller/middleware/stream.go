package middleware

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
)

const eventStreamType = "text/event-stream"

// LastEventID is the header with which a client says where its stream was.
const LastEventID = "Last-Event-ID"

// Beginning is where a stream begins.
type Beginning struct {
	// From is the seq after which it begins; nil for now.
	From *int64
	// Resumed tells that the client said so in the header, where EventSource
	// says it of its own accord.
	Resumed bool
}

// Begin returns where the request wants its stream to begin: the header wins
// over ?cursor=, because EventSource comes back to the same URL. A place that
// is no number is an ErrMalformed.
func Begin(c *gin.Context) (Beginning, error) {
	name := LastEventID
	text, resumed, err := Header(c, name)
	if err != nil {
		return Beginning{}, err
	}
	sent := resumed
	if !resumed {
		name = "cursor"
		if text, sent, err = Query(c, name); err != nil {
			return Beginning{}, err
		}
	}
	if !sent {
		return Beginning{}, nil
	}
	seq, err := strconv.ParseUint(text, 10, 63) // digits only
	if err != nil {
		e := domain.New(domain.ErrMalformed, "invalid_cursor", "The place where the stream is to begin is not a number.")
		e.Fields = []domain.FieldError{{Pointer: name, Message: "must be the id of an event, or 0"}}
		return Beginning{}, e
	}
	from := int64(seq) // it has 63 bits
	return Beginning{&from, resumed}, nil
}

// StreamHeaders begins an answer that is a stream of events.
func StreamHeaders(c *gin.Context) {
	c.Header("Content-Type", eventStreamType)
	c.Header("Cache-Control", "no-store")
	c.Header("X-Accel-Buffering", "no") // nginx would collect events
	c.Status(http.StatusOK)
}

// expectsEvents notes when the client of a request is an EventSource, or does as
// one would: it comes by ticket, and either resumes or accepts nothing but events.
func expectsEvents(c *gin.Context) {
	if c.GetHeader(LastEventID) != "" || strings.HasPrefix(c.GetHeader("Accept"), eventStreamType) {
		c.Set(eventsKey, true)
	}
}

// putsOff reports whether a refusal with this status has to be put as a stream.
func putsOff(c *gin.Context, status int) bool {
	return c.GetBool(eventsKey) && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests)
}

// putOff answers with a stream that ends at once and says when to come back. An
// EventSource never comes back after a status other than 200 (WHATWG HTML,
// section 9.2.3, "fail the connection"), so whatever passes by itself must not
// be told to it by one. Metrics are told the status that it would have been.
func putOff(c *gin.Context, status int, e *domain.Error) {
	if tell, ok := c.Value(openedKey).(func(status int)); ok {
		tell(status)
	}
	Ended(c, e.Code)
	StreamHeaders(c)
	wait := waitFor(e)
	wait += rand.N(wait/2 + 1)                                                                                     //nolint:gosec // spreads clients, guards nothing
	_, _ = c.Writer.WriteString("retry: " + strconv.FormatInt(wait.Milliseconds(), 10) + "\n: " + e.Code + "\n\n") // it ends in any case
}

// Opened tells that a stream has begun, whose end says nothing of how fast it
// was opened.
func Opened(c *gin.Context) {
	if tell, ok := c.Value(openedKey).(func(status int)); ok {
		tell(http.StatusOK)
	}
}

// Ended tells the access log why a stream has ended, in a word.
func Ended(c *gin.Context, why string) { c.Set(endedKey, why) }

// ErrClientGone is the cause of the end of a context of Outlive whose
// connection was closed.
var ErrClientGone = errors.New("the client has gone")

// Outlive returns a context that carries what that of the request does, and
// ends with the connection, or by end, but not with the deadline of the
// request.
func Outlive(c *gin.Context) (ctx context.Context, end context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(c.Request.Context()))
	connection, ok := c.Value(connectionKey).(context.Context)
	if !ok {
		return ctx, cancel
	}
	if connection.Err() != nil { // else it would be known a moment later
		cancel(ErrClientGone)
	}
	stop := context.AfterFunc(connection, func() { cancel(ErrClientGone) })
	return ctx, func(cause error) {
		stop()
		cancel(cause)
	}
}
