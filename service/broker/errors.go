package broker

import (
	"errors"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
)

// capacityRetryAfter is what callers are told when an operator has to raise a limit
// of the broker, or to delete tenants.
const capacityRetryAfter = time.Minute

// retryAfter is what callers are told to wait while the broker is away.
const retryAfter = 2 * time.Second

// unavailable says in the domain's words why something could not be done now.
// AMQP's codes have more than one meaning each; see rabbitmq.ErrLimitReached.
func unavailable(cause error) *domain.Error {
	switch {
	case errors.Is(cause, rabbitmq.ErrLimitReached), rabbitmq.IsNotAllowed(cause), rabbitmq.IsResourceError(cause):
		return domain.NoCapacity(cause, "The message broker has no room for this: a limit set there is reached.").After(capacityRetryAfter)
	case rabbitmq.IsDenied(cause):
		return domain.Wrap(cause, domain.ErrUnavailable, "broker_refused",
			"The message broker does not let this service do that; whoever runs it finds the reason in its log.").After(capacityRetryAfter)
	}
	return domain.Wrap(cause, domain.ErrUnavailable, "broker_unavailable",
		"The message broker cannot be reached; try again shortly.").After(retryAfter)
}
