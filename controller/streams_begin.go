package controller

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
)

const (
	eventStreamType = "text/event-stream"
	// lastEventIDHeader is the header with which a client says where its stream
	// was.
	lastEventIDHeader = "Last-Event-ID"
)

// beginning is where a stream begins.
type beginning struct {
	// from is the seq after which it begins; nil for now.
	from *int64
	// resumed: the client said so in the header, where EventSource says it of its
	// own accord.
	resumed bool
}

// requestedBeginning returns where the request wants its stream to begin: the
// header wins over ?cursor=, because EventSource comes back to the same URL. A
// place that is no number is an ErrMalformed.
func requestedBeginning(c *gin.Context) (beginning, error) {
	name := lastEventIDHeader
	text, resumed, err := middleware.Header(c, name)
	if err != nil {
		return beginning{}, err
	}
	sent := resumed
	if !resumed {
		name = "cursor"
		if text, sent, err = middleware.Query(c, name); err != nil {
			return beginning{}, err
		}
	}
	if !sent {
		return beginning{}, nil
	}
	seq, err := strconv.ParseUint(text, 10, 63) // digits only
	if err != nil {
		e := domain.New(domain.ErrMalformed, "invalid_cursor", "The place where the stream is to begin is not a number.")
		e.Fields = []domain.FieldError{{Pointer: name, Message: "must be the id of an event, or 0"}}
		return beginning{}, e
	}
	from := int64(seq) // it has 63 bits
	return beginning{&from, resumed}, nil
}

// beginStream begins an answer that is a stream of events.
func beginStream(c *gin.Context) {
	c.Header("Content-Type", eventStreamType)
	c.Header("Cache-Control", "no-store")
	c.Header("X-Accel-Buffering", "no") // nginx would collect events
	c.Status(http.StatusOK)
}

// greeting returns what a stream begins with: when to come back after it broke
// off, where it is unless its client knows, and something to be seen. An id
// without data is no event, but sets the last event id: a client that loses
// the stream before the first event would else come back without one, miss what
// was stored meanwhile, and find its ticket used up.
func greeting(c *gin.Context, begin beginning, events domain.EventStream) []byte {
	hello := []byte("retry: 3000\n")
	if byTicket := requestTicket(c) != nil; !begin.resumed && (byTicket || begin.from == nil) {
		hello = append(strconv.AppendInt(append(hello, "id: "...), events.Position(), 10), '\n')
	}
	return append(hello, ": open\n\n"...)
}

// expectsEvents reports whether the client of a request that comes by ticket is
// an EventSource, or does as one would: it resumes, or accepts nothing but
// events.
func expectsEvents(c *gin.Context) bool {
	return c.GetHeader(lastEventIDHeader) != "" || strings.HasPrefix(c.GetHeader("Accept"), eventStreamType)
}

// refuseByStream answers with a stream that ends at once and says when to come
// back. An EventSource never comes back after a status other than 200 (WHATWG
// HTML, section 9.2.3, "fail the connection"), so a refusal that passes by itself
// must not be one. Metrics count the status that it would have been. For all
// other refusals it returns false.
func refuseByStream(c *gin.Context, r middleware.Refusal) bool {
	if r.Status != http.StatusServiceUnavailable && r.Status != http.StatusTooManyRequests {
		return false
	}
	middleware.Observe(c, r.Status)
	middleware.SetEndReason(c, r.Code)
	beginStream(c)
	wait := r.RetryAfter + rand.N(r.RetryAfter/2+1)                                                                //nolint:gosec // spreads clients, guards nothing
	_, _ = c.Writer.WriteString("retry: " + strconv.FormatInt(wait.Milliseconds(), 10) + "\n: " + r.Code + "\n\n") // it ends in any case
	return true
}
