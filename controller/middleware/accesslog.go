package middleware

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
)

// statusClientGone is what the log and the metrics call a request whose client
// did not wait for the answer.
const statusClientGone = 499

// AccessLog writes one line for every request, and calls observe (which may be
// nil) with the time it took. Neither sees bodies, headers or query strings:
// those have tickets in them. The request id and the tenant are added by the
// logger, from the context. It is the one place that logs the causes of answers
// that say nothing of them.
//
// It goes before Recover. A request whose client has gone ends without an
// answer.
func AccessLog(log *slog.Logger, observe func(route, method string, status int, seconds float64)) gin.HandlerFunc {
	return func(c *gin.Context) {
		start := time.Now()
		observed := observe == nil
		observeOnce := func(status int) {
			if !observed {
				observed = true
				observe(route(c), knownMethod(c.Request.Method), status, time.Since(start).Seconds())
			}
		}
		c.Set(observeKey, observeOnce)
		c.Next()
		duration := time.Since(start)

		gone := c.GetBool(goneKey)
		if unread(c) {
			gone = true
			SetEndReason(c, "unread")
		}
		status := c.Writer.Status()
		if gone {
			status = statusClientGone
		}
		observeOnce(status)
		level := logLevel(route(c), status)
		cause := c.Errors.Last()
		if status < http.StatusInternalServerError && status != http.StatusMultiStatus {
			cause = nil // it is in the answer
		}
		if cause != nil {
			level = max(level, slog.LevelWarn)
		}
		if !gone && !log.Enabled(c, level) {
			return
		}
		attrs := []slog.Attr{
			slog.String("method", c.Request.Method),
			slog.String("route", route(c)),
			slog.String("path", c.Request.URL.Path),
			slog.Int("status", status),
			slog.Int("bytes", max(0, c.Writer.Size())),
			slog.Duration("duration", duration),
			slog.String("remote", c.ClientIP()),
		}
		if caller := callerName(c); caller != "" {
			attrs = append(attrs, slog.String("caller", caller))
		}
		if ended := c.GetString(endedKey); ended != "" {
			attrs = append(attrs, slog.String("ended", ended))
		}
		if cause != nil {
			attrs = append(attrs, slog.String("error", cause.Error()))
		}
		log.LogAttrs(c.Request.Context(), level, "request", attrs...)
		if gone {
			// net/http would answer 200 otherwise.
			panic(http.ErrAbortHandler)
		}
	}
}

// Observe makes the metrics count the request now, with this status, and not at
// its end: of a stream they have the time until it was open.
func Observe(c *gin.Context, status int) {
	if observeOnce, ok := c.Value(observeKey).(func(status int)); ok {
		observeOnce(status)
	}
}

// SetEndReason gives the line of the access log the reason for the end of a
// stream, in a word.
func SetEndReason(c *gin.Context, reason string) { c.Set(endedKey, reason) }

func callerName(c *gin.Context) string {
	if _, ok := c.Get(principalKey); !ok {
		return ""
	}
	if p := Principal(c); p.UserID != uuid.Nil {
		return p.UserID.String()
	}
	return "open-mode"
}

func logLevel(route string, status int) slog.Level {
	switch {
	case status == http.StatusServiceUnavailable:
		return slog.LevelWarn
	case status >= http.StatusInternalServerError:
		return slog.LevelError
	case route == "/healthz", route == "/readyz", route == "/metrics":
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// knownMethod keeps invented methods from becoming metrics.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	}
	return "other"
}
