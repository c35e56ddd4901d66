package middleware

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
	"lanekeeper/model"
)

// defaultRetryAfter is how long a caller should wait when the error does not
// say.
const defaultRetryAfter = 2 * time.Second

// Refusal is what a problem document says that a client can act on.
type Refusal struct {
	Status int
	Code   string
	// RetryAfter is how long to wait before trying again.
	RetryAfter time.Duration
}

// RefuseBy makes Fail call write, for a client that problem documents do not
// reach. Where write returns false it has written nothing.
func RefuseBy(c *gin.Context, write func(*gin.Context, Refusal) bool) { of(c).refuse = write }

// Fail ends the request with the problem document for err. It writes nothing
// when the client has gone. The cause is kept for the access log, which writes
// it where it is needed.
func Fail(c *gin.Context, err error) {
	c.Abort()
	_ = c.Error(err)
	// To net/http, a client whose body did not come in time has gone, too.
	if clientGone(c) && !errors.Is(err, domain.ErrTooSlow) {
		of(c).gone = true
		return
	}
	p, e := describe(err)
	if write := of(c).refuse; write != nil && write(c, Refusal{p.Status, p.Code, waitFor(e)}) {
		return
	}
	switch p.Status {
	case http.StatusUnauthorized:
		c.Header("WWW-Authenticate", challenge(c))
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		c.Header("Retry-After", retryAfter(e))
	}
	writeProblem(c, &p)
}

// NoRoute answers requests that no route matches.
func NoRoute(c *gin.Context) {
	detail := "There is no such route."
	if path := c.Request.URL.Path; len(path) > 1 && path[len(path)-1] == '/' {
		detail = "There is no such route. Paths have no slash at the end."
	}
	writeProblem(c, &model.Problem{Status: http.StatusNotFound, Code: "route_not_found", Detail: detail})
}

// NoMethod answers requests whose route exists with other methods, which the
// header Allow names.
func NoMethod(c *gin.Context) {
	writeProblem(c, &model.Problem{
		Status: http.StatusMethodNotAllowed, Code: "method_not_allowed",
		Detail: "The route exists, but not with this method.",
	})
}

// ProblemFor returns the problem document for err, without the fields that
// belong to a request.
func ProblemFor(err error) model.Problem {
	p, _ := describe(err)
	return p
}

// describe is the one place where the kinds of errors become HTTP statuses.
// Whatever it does not know is a 500 that reveals nothing.
func describe(err error) (model.Problem, *domain.Error) {
	var e *domain.Error
	if !errors.As(err, &e) {
		if errors.Is(err, context.DeadlineExceeded) {
			e = domain.Wrap(err, domain.ErrUnavailable, "timeout", "The request was not done in time; try again with the same idempotency key.")
		} else {
			e = internalError(err)
		}
	}
	status := statusOf(e.Kind)
	switch {
	case status == http.StatusInternalServerError:
		e = internalError(err)
	case e.Kind == domain.ErrContended:
		e = domain.Wrap(err, domain.ErrUnavailable, "busy", "Somebody else is working on the same thing; try again.")
	}
	return model.Problem{Status: status, Code: e.Code, Detail: e.Message, Errors: model.FromFieldErrors(e.Fields)}, e
}

func internalError(cause error) *domain.Error {
	return domain.Wrap(cause, "internal", "internal_error", "Something went wrong on our side. Name the request id when you report it.")
}

func statusOf(kind domain.Kind) int {
	switch kind {
	case domain.ErrMalformed:
		return http.StatusBadRequest
	case domain.ErrUnauthenticated:
		return http.StatusUnauthorized
	case domain.ErrForbidden:
		return http.StatusForbidden
	case domain.ErrNotFound:
		return http.StatusNotFound
	case domain.ErrGone:
		return http.StatusGone
	case domain.ErrConflict:
		return http.StatusConflict
	case domain.ErrTooLarge:
		return http.StatusRequestEntityTooLarge
	case domain.ErrTooSlow:
		return http.StatusRequestTimeout
	case domain.ErrUnsupported:
		return http.StatusUnsupportedMediaType
	case domain.ErrInvalid:
		return http.StatusUnprocessableEntity
	case domain.ErrLimited:
		return http.StatusTooManyRequests
	case domain.ErrUnavailable, domain.ErrContended:
		return http.StatusServiceUnavailable
	case domain.ErrPartitionMissing, domain.ErrRejected, domain.ErrNoCapacity,
		domain.ErrNameTaken, domain.ErrQueueMissing, domain.ErrBacklogFull, domain.ErrStoreRefuses, domain.ErrStoreFault:
	}
	return http.StatusInternalServerError
}

// writeProblem completes p with what belongs to the request and writes it.
func writeProblem(c *gin.Context, p *model.Problem) {
	if c.Writer.Written() {
		return
	}
	p.Type = "about:blank"
	p.Title = http.StatusText(p.Status)
	if p.Instance == "" {
		p.Instance = c.Request.URL.EscapedPath()
	}
	p.RequestID = domain.RequestID(c.Request.Context())
	body, err := json.Marshal(p)
	if err != nil { // strings and numbers always marshal
		c.Status(http.StatusInternalServerError)
		return
	}
	c.Header("Cache-Control", "no-store")
	c.Data(p.Status, model.ProblemContentType, body)
}

// clientGone reports whether the client has closed the connection, which cancels
// the context the request came with. The contexts made from that one are no
// sign: they are cancelled when their middleware returns, too.
func clientGone(c *gin.Context) bool {
	connection := of(c).connection
	return connection != nil && connection.Err() != nil
}

// challenge returns the WWW-Authenticate of RFC 6750, section 3.
func challenge(c *gin.Context) string {
	if c.GetHeader("Authorization") == "" {
		return `Bearer realm="lanekeeper"`
	}
	return `Bearer realm="lanekeeper", error="invalid_token"`
}

// waitFor returns how long to wait before trying again.
func waitFor(e *domain.Error) time.Duration {
	if e.RetryAfter > 0 {
		return e.RetryAfter
	}
	return defaultRetryAfter
}

// retryAfter returns whole seconds, rounded up.
func retryAfter(e *domain.Error) string {
	wait := waitFor(e)
	return strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
}
