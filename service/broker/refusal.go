package broker

import (
	"errors"
	"fmt"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
)

// capacityRetryAfter is what callers are told: somebody has to raise a limit of
// the broker, or to delete tenants.
const capacityRetryAfter = time.Minute

// errNoRoom: the broker allows no more of it. Wrapped errors have its text.
var errNoRoom = errors.New("the broker allows no more")

// unavailable says in the domain's words why something could not be done now.
// AMQP's codes have more than one meaning each, so what was asked for has to
// say which it was: NOT_ALLOWED means a limit where a connection or a channel
// was opened on a broker that is there otherwise, PRECONDITION_FAILED where a
// queue was declared that is not there (errNoRoom).
func unavailable(cause error) *domain.Error {
	switch {
	case errors.Is(cause, errNoRoom), rabbitmq.IsNotAllowed(cause), rabbitmq.IsResourceError(cause):
		return domain.NoCapacity(cause, "The message broker has no room for this: a limit set there is reached.").After(capacityRetryAfter)
	case rabbitmq.IsDenied(cause):
		return domain.Wrap(cause, domain.ErrUnavailable, "broker_refused",
			"The message broker does not let this service do that; whoever runs it finds the reason in its log.").After(capacityRetryAfter)
	}
	return domain.Wrap(cause, domain.ErrUnavailable, "broker_unavailable",
		"The message broker cannot be reached; try again shortly.").After(retryAfter)
}

// noRoom marks the broker's answer as one about a limit.
func noRoom(answer error) error { return fmt.Errorf("%w: %w", errNoRoom, answer) }
