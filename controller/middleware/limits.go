package middleware

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
)

// BodyLimit refuses bodies of more than limit bytes: at once when the client
// says so, else when a handler reads that far (an *http.MaxBytesError).
func BodyLimit(limit int64) gin.HandlerFunc {
	return func(c *gin.Context) {
		if c.Request.ContentLength > limit {
			Fail(c, BodyTooLarge(limit))
			return
		}
		var w http.ResponseWriter = c.Writer
		if inner, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
			w = inner.Unwrap() // net/http's own: it then closes the connection
		}
		c.Request.Body = http.MaxBytesReader(w, c.Request.Body, limit)
	}
}

// BodyTooLarge is the answer to a body of more than limit bytes.
func BodyTooLarge(limit int64) error {
	return domain.New(domain.ErrTooLarge, "body_too_large", fmt.Sprintf("The body may have at most %d bytes.", limit))
}

// Deadline ends the context of the request after d.
func Deadline(d time.Duration) gin.HandlerFunc {
	return func(c *gin.Context) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), d)
		defer cancel()
		c.Request = c.Request.WithContext(ctx)
		c.Next()
	}
}
