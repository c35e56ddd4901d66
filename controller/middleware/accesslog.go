package middleware

import (
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
)

// statusClientGone is what the log and the metrics call a request whose client
// did not wait for the answer.
const statusClientGone = 499

// longestID is how long what a path names may be, in bytes: UUIDs are. Whatever is
// longer may be a secret, as those are that this service makes.
const longestID = 36

// RequestLines is which requests have a line in the log.
type RequestLines struct {
	// Which is all, errors or none, in any case; "" is all. Those with errors are 400
	// and above. Answers of 500 and above have a line in any case: it is the only one
	// that has their causes.
	Which string
	// OneIn is of how many requests that succeeded one has a line; 0 is 1.
	OneIn int
}

// AccessLogOptions configure AccessLog.
type AccessLogOptions struct {
	Log   *slog.Logger
	Lines RequestLines
	// Observe is called for every request with the time it took; may be nil.
	Observe func(route, method string, status int, seconds float64)
}

// AccessLog writes one line for every request that is to have one, and calls
// o.Observe with the time it took. Neither sees bodies, headers or query strings:
// those have tickets in them. The request id and the tenant are added by the
// logger, from the context. It is the one place that logs the causes of answers
// that say nothing of them.
//
// It goes before Recover. A request whose client has gone ends without an
// answer.
func AccessLog(o AccessLogOptions) gin.HandlerFunc {
	choose := newLineChoice(o.Lines)
	return func(c *gin.Context) {
		r := of(c)
		r.begun, r.observe = time.Now(), o.Observe
		c.Next()
		duration := time.Since(r.begun)

		gone := r.gone
		if unread(c) {
			gone = true
			SetEndReason(c, "unread")
		}
		status := c.Writer.Status()
		if gone {
			status = statusClientGone
		}
		Observe(c, status)
		level := logLevel(route(c), status)
		cause := c.Errors.Last()
		if status < http.StatusInternalServerError && status != http.StatusMultiStatus {
			cause = nil // it is in the answer
		}
		if cause != nil && level > slog.LevelDebug {
			level = max(level, slog.LevelWarn)
		}
		if o.Log.Enabled(c, level) && choose.takes(status, cause != nil) {
			o.Log.LogAttrs(c.Request.Context(), level, "request", requestAttrs(c, status, duration, cause, choose.oneIn(status, cause != nil))...)
		}
		if gone {
			// net/http would answer 200 otherwise.
			panic(http.ErrAbortHandler)
		}
	}
}

// lineChoice chooses the requests that have a line. It is safe for concurrent use.
type lineChoice struct {
	which string
	every uint64
	seen  atomic.Uint64
}

func newLineChoice(l RequestLines) *lineChoice {
	return &lineChoice{which: strings.ToLower(l.Which), every: uint64(max(l.OneIn, 1))}
}

// takes reports whether a request has a line.
func (l *lineChoice) takes(status int, caused bool) bool {
	switch {
	case status >= http.StatusInternalServerError || caused:
		return true
	case l.which == "none":
		return false
	case status >= http.StatusBadRequest:
		return true
	case l.which == "errors":
		return false
	}
	return (l.seen.Add(1)-1)%l.every == 0
}

// oneIn returns how many requests the line of one stands for.
func (l *lineChoice) oneIn(status int, caused bool) uint64 {
	if status >= http.StatusBadRequest || caused {
		return 1
	}
	return l.every
}

func requestAttrs(c *gin.Context, status int, duration time.Duration, cause *gin.Error, oneIn uint64) []slog.Attr {
	attrs := []slog.Attr{
		slog.String("method", c.Request.Method),
		slog.String("route", route(c)),
		slog.String("path", withoutSecrets(c.Request.URL.Path)),
		slog.Int("status", status),
		slog.Int("bytes", max(0, c.Writer.Size())),
		slog.Float64("duration_ms", float64(duration.Microseconds())/1000),
		slog.String("remote", addressOf(c)),
	}
	if caller := callerName(c); caller != "" {
		attrs = append(attrs, slog.String("caller", caller))
	}
	if p := Principal(c); p.ByKey() {
		attrs = append(attrs, slog.String("key_id", p.KeyID.String()))
	}
	if p := Principal(c); p.ByLink() {
		attrs = append(attrs, slog.String("portal_link_id", p.LinkID.String()))
	}
	if ended := of(c).ended; ended != "" {
		attrs = append(attrs, slog.String("ended", ended))
	}
	if oneIn > 1 {
		attrs = append(attrs, slog.Uint64("one_in", oneIn))
	}
	if cause != nil {
		attrs = append(attrs, slog.String("error", cause.Error()))
	}
	return attrs
}

// Observe makes the metrics count the request now, with this status, and not at
// its end: of a stream they have the time until it was open.
func Observe(c *gin.Context, status int) {
	if r := of(c); r.observe != nil && !r.observed {
		r.observed = true
		r.observe(route(c), knownMethod(c.Request.Method), status, time.Since(r.begun).Seconds())
	}
}

// SetEndReason gives the line of the access log the reason for the end of a
// stream, in a word.
func SetEndReason(c *gin.Context, reason string) { of(c).ended = reason }

func callerName(c *gin.Context) string {
	if !of(c).identified {
		return ""
	}
	if p := Principal(c); p.UserID != uuid.Nil {
		return p.UserID.String()
	}
	return "open-mode"
}

// withoutSecrets returns a path without secrets, which somebody may put there by
// mistake: what looks like an API key, the token of a portal link or the secret of an
// endpoint, which may have slashes in it, and whatever is longer than an id.
func withoutSecrets(path string) string {
	for _, prefix := range []string{"lk_", "lkp_", "whsec_"} {
		if before, _, found := strings.Cut(path, prefix); found {
			path = before + prefix + "***"
		}
	}
	segments := strings.Split(path, "/")
	for i, segment := range segments {
		if len(segment) > longestID {
			segments[i] = "***"
		}
	}
	return strings.Join(segments, "/")
}

func logLevel(route string, status int) slog.Level {
	probe := route == "/healthz" || route == "/readyz" || route == "/metrics"
	switch {
	case probe && (status < http.StatusInternalServerError || status == http.StatusServiceUnavailable):
		return slog.LevelDebug // it says what others have said
	case status == http.StatusServiceUnavailable:
		return slog.LevelWarn
	case status >= http.StatusInternalServerError:
		return slog.LevelError
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
