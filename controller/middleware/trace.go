package middleware

import (
	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
	"lanekeeper/pkg/tracing"
)

// Trace makes a span of every request of the API, in the trace that its traceparent
// names, or in a new one where that is recorded. It goes before AccessLog, whose lines
// have the id of the trace then, and behind RequestID.
func Trace(t *tracing.Tracer) gin.HandlerFunc {
	return func(c *gin.Context) {
		switch c.FullPath() {
		case "/healthz", "/readyz", "/metrics": // they come every few seconds
			return
		}
		ctx, begun := t.StartRequest(c.Request)
		if !begun {
			return
		}
		c.Request = c.Request.WithContext(ctx)
		// AccessLog panics then.
		gone := true
		defer func() { t.EndRequest(ctx, func() tracing.Answered { return answered(c, gone) }) }() //nolint:contextcheck // c has it
		c.Next()
		gone = false
	}
}

// answered returns what the span of a request shows. As in the access log, that is no
// query, in which there are tickets, and no address.
func answered(c *gin.Context, gone bool) tracing.Answered {
	a := tracing.Answered{
		Method: knownMethod(c.Request.Method), Route: of(c).route, Path: withoutSecrets(c.Request.URL.Path), Scheme: "http",
		UserAgent: c.Request.UserAgent(), Status: c.Writer.Status(), RequestID: domain.RequestID(c.Request.Context()),
	}
	if a.Method == "other" {
		a.Method = "_OTHER"
	}
	if c.Request.TLS != nil {
		a.Scheme = "https"
	}
	if gone {
		a.Status = 0
	}
	if id, ok := domain.TenantID(c.Request.Context()); ok {
		a.TenantID = id.String()
	}
	return a
}
