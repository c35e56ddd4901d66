package middleware

import (
	"context"

	"github.com/gin-gonic/gin"
)

// Connection is what a request came by.
type Connection interface {
	// Serving sets the id of the request that it is for.
	Serving(requestID string)
	// Cut reports whether it was ended because its client did not read an
	// answer.
	Cut() bool
}

type connectionContextKey struct{}

// WithConnection returns the context for the requests that come by conn, for
// http.Server.ConnContext.
func WithConnection(ctx context.Context, conn Connection) context.Context {
	return context.WithValue(ctx, connectionContextKey{}, conn)
}

// connectionOf returns what the request came by, where WithConnection was used.
func connectionOf(c *gin.Context) (Connection, bool) {
	conn, ok := c.Request.Context().Value(connectionContextKey{}).(Connection)
	return conn, ok
}

// unread reports whether the client did not read the answer.
func unread(c *gin.Context) bool {
	conn, ok := connectionOf(c)
	return ok && conn.Cut()
}
