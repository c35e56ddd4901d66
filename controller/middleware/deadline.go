package middleware

import (
	"context"
	"errors"
	"time"

	"github.com/gin-gonic/gin"
)

// ErrClientGone is the cause of the end of a context of Outlive whose
// connection was closed.
var ErrClientGone = errors.New("the client has gone")

// Deadline ends the context of the request after d.
func Deadline(d time.Duration) gin.HandlerFunc {
	return func(c *gin.Context) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), d)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		c.Next()
	}
}

// Outlive returns a context that carries what that of the request does, and
// ends with the connection, or by end, but not with the deadline of the
// request.
func Outlive(c *gin.Context) (ctx context.Context, end context.CancelCauseFunc) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(c.Request.Context()))
	connection := of(c).connection
	if connection == nil {
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
