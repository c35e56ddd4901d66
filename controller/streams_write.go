package controller

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	"github.com/gin-gonic/gin"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
)

const (
	// heartbeat is a comment.
	heartbeat = ": \n\n"
	// pieceBytes is how much is written under one deadline, so that a client
	// that reads slowly is not taken for one that does not.
	pieceBytes = 64 << 10
	// farewellTimeout is how long the end of a stream may take to be written.
	farewellTimeout = time.Second

	reasonClientGone = "client_gone"
	reasonDropped    = "dropped"
)

// eventWriter writes to a client, which has to take each piece in time. What it
// is writing is broken off when the stream's context ends, with which all of
// its methods are called.
type eventWriter struct {
	to      gin.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	// calm keeps the end of the context from breaking anything off; broken is
	// closed when that has been done.
	calm   func() bool
	broken chan struct{}
}

// newEventWriter returns a writer for a stream that ends with ctx. Call finish at
// its end.
func newEventWriter(ctx context.Context, to gin.ResponseWriter, timeout time.Duration) *eventWriter {
	var inner http.ResponseWriter = to
	if wrapper, ok := to.(interface{ Unwrap() http.ResponseWriter }); ok {
		inner = wrapper.Unwrap() // Gin's own Flush returns no errors
	}
	w := &eventWriter{to: to, control: http.NewResponseController(inner), timeout: timeout, broken: make(chan struct{})}
	w.calm = context.AfterFunc(ctx, func() {
		defer close(w.broken)
		if !errors.Is(context.Cause(ctx), middleware.ErrClientGone) { // else it breaks by itself
			_ = w.control.SetWriteDeadline(time.Now())
		}
	})
	return w
}

// write writes and flushes. After an error nothing more can be written; when
// the context has ended for a reason that is not the client's, the error is
// that reason.
func (w *eventWriter) write(ctx context.Context, data []byte) error {
	err := w.writePieces(ctx, data)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(cause, middleware.ErrClientGone) {
		return cause
	}
	return err
}

func (w *eventWriter) writePieces(ctx context.Context, data []byte) error {
	for len(data) > 0 {
		piece := data[:min(len(data), pieceBytes)]
		if err := w.hurry(ctx); err != nil {
			return err
		}
		if _, err := w.to.Write(piece); err != nil {
			return err
		}
		data = data[len(piece):]
	}
	if err := w.hurry(ctx); err != nil {
		return err
	}
	return w.control.Flush()
}

// hurry sets the deadline for a piece. It looks at the context afterwards, so
// that it cannot undo what the end of that did.
func (w *eventWriter) hurry(ctx context.Context) error {
	if err := w.control.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return err
	}
	return ctx.Err()
}

// finish gives the end of the answer a deadline of its own and, for people,
// says why it ends, unless the client has gone.
func (w *eventWriter) finish(why string) {
	if !w.calm() {
		<-w.broken
	}
	if w.control.SetWriteDeadline(time.Now().Add(farewellTimeout)) != nil || why == reasonClientGone || why == reasonDropped {
		return
	}
	_, _ = w.to.WriteString(": " + why + "\n\n") // it ends in any case
}

// reasonOf returns, in a word, why a stream has ended.
func reasonOf(err error) string {
	switch code := domain.CodeOf(err); {
	case code != "":
		return code
	case errors.Is(err, os.ErrDeadlineExceeded):
		return reasonDropped
	}
	return reasonClientGone // the connection is broken
}
