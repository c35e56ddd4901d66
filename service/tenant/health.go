package tenant

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"

	"lanekeeper/domain"
)

// retryMin and retryMax bound the pauses after failures.
const (
	retryMin = 500 * time.Millisecond
	retryMax = 8 * time.Second
)

func newPauses() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = retryMin, retryMax
	return b
}

// health remembers the last failure of something that is tried again and
// again, so that the log tells of changes and not of attempts.
type health struct{ problem string }

// news is what there is to log after an attempt.
type news uint8

const (
	unchanged news = iota
	failing        // for the first time, or for another reason than before
	recovered
)

// note takes the result of an attempt. One that was cancelled says nothing.
func (h *health) note(err error) news {
	before := h.problem
	switch {
	case errors.Is(err, context.Canceled):
		return unchanged
	case err == nil:
		h.problem = ""
	default:
		if h.problem = domain.CodeOf(err); h.problem == "" {
			h.problem = "other"
		}
	}
	switch h.problem {
	case before:
		return unchanged
	case "":
		return recovered
	}
	return failing
}
