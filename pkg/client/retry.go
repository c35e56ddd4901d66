package client

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"lanekeeper/pkg/backoff"
)

const (
	// firstPause and longestPause are those between attempts.
	firstPause   = 200 * time.Millisecond
	longestPause = 5 * time.Second
)

// errSlow is why an attempt ended that took longer than WithTimeout says.
var errSlow = errors.New("no answer in time")

// attempt makes a call once, with this token.
type attempt func(ctx context.Context, token string) (*answer, error)

// persist makes attempts until one succeeds, or must not be repeated, or there is no
// time left for another. Where a token is refused and there is another one, it goes on
// with that, once.
func (c *caller) persist(ctx context.Context, r *call, try attempt) (*answer, error) {
	begun := time.Now()
	pauses := backoff.New(firstPause, longestPause)
	limit := cmp.Or(r.retryFor, c.retryFor)
	if err := r.check(); err != nil {
		return nil, err
	}
	token, err := c.token(ctx, r, "")
	if err != nil {
		return nil, err
	}
	renewed := false
	for {
		got, err := try(ctx, token)
		if err == nil || ctx.Err() != nil {
			return got, err
		}
		if !renewed && isUnauthorized(err) {
			renewed = true
			other, failed := c.token(ctx, r, token)
			if failed != nil {
				return got, failed
			}
			if other != token {
				token = other
				continue
			}
		}
		if !again(r.again, err) {
			return got, err
		}
		wait := pauseBefore(err, pauses)
		if time.Since(begun)+wait > limit {
			return got, err
		}
		c.report(r, err, wait)
		if ended := backoff.Sleep(ctx, wait); ended != nil {
			return got, fmt.Errorf("%w; the last attempt: %w", ended, err)
		}
		if token, err = c.token(ctx, r, ""); err != nil {
			return got, err
		}
	}
}

// token returns the token for a call.
func (c *caller) token(ctx context.Context, r *call, refusedToken string) (string, error) {
	if r.anonymous {
		return "", nil
	}
	token, err := c.tokens.Token(ctx, refusedToken)
	if err != nil {
		return "", fmt.Errorf("get a token: %w", err)
	}
	if !sendable(token) {
		return "", fmt.Errorf("the token %w", errNoHeader)
	}
	return token, nil
}

// pauseBefore returns how long to wait before the attempt after one that ended with
// err.
func pauseBefore(err error, pauses *backoff.Backoff) time.Duration {
	pause := pauses.Next()
	if e, ok := errors.AsType[*Error](err); ok && e.RetryAfter > 0 {
		return e.RetryAfter + pause/4 // those who were told the same do not come at once
	}
	return pause
}

func (c *caller) report(r *call, err error, wait time.Duration) {
	if c.onAttempt != nil {
		c.onAttempt(Attempted{Method: r.method, Path: r.path, Err: err, Wait: wait})
	}
}

func isUnauthorized(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Status == http.StatusUnauthorized
}

// again reports whether what ended with err may be tried again.
func again(r repeat, err error) bool {
	if r == never {
		return false
	}
	if e, ok := errors.AsType[*Error](err); ok {
		switch e.Status {
		case http.StatusTooManyRequests:
			return true
		case http.StatusRequestTimeout, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return r == always
		}
		return false
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true // nothing was sent
	}
	return r == always // whatever it was, it was between here and there
}

// keyFor returns the idempotency key of a call: the caller's, or else a generated one,
// unless those are turned off.
func (c *caller) keyFor(given string) string {
	if given != "" || c.keyless {
		return given
	}
	return rand.Text()
}

// repeatable returns when a call may be tried again that its key makes safe to repeat.
func (r *call) repeatable() repeat {
	if r.key == "" {
		return refused
	}
	return always
}
