package middleware

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
)

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
	stop := context.AfterFunc(connection, func() { cancel(ErrClientGone) })
	return ctx, func(cause error) {
		stop()
		cancel(cause)
	}
}
