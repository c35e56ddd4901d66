package domain

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// DeliveryState is how far a message is on its way to an endpoint.
type DeliveryState string

// The states of a message on its way to an endpoint.
const (
	// DeliveryPending: its first attempt is to come, or not over.
	DeliveryPending DeliveryState = "pending"
	// DeliveryRetrying: it failed, and is to be tried again.
	DeliveryRetrying DeliveryState = "retrying"
	// DeliveryDelivered: an attempt is on record that succeeded.
	DeliveryDelivered DeliveryState = "delivered"
	// DeliveryFailed: it was given up, and is a dead letter.
	DeliveryFailed DeliveryState = "failed"
	// DeliveryPassed: the endpoint's cursor has passed it, and nothing else is known:
	// it was delivered and the record of that is not kept any longer, or it was stored
	// before the endpoint began.
	DeliveryPassed DeliveryState = "passed"
)

// MessageDelivery is what is known of a message's way to one endpoint.
type MessageDelivery struct {
	EndpointID uuid.UUID
	State      DeliveryState
	// Attempts were made, as far as that is known.
	Attempts int
	// LastStatus is the HTTP status of the last one; 0 when there was no answer.
	LastStatus int
	// NextAt is when the next one is due; zero for none, and where it waits for
	// another message of its key.
	NextAt time.Time
}

// MessageDeliveryRepository knows where messages are on their way. It is safe for
// concurrent use.
type MessageDeliveryRepository interface {
	// MessageDeliveries returns what is known of a stored message's way to each
	// endpoint of its tenant that it is for, or was delivered to, the oldest endpoint
	// first.
	MessageDeliveries(ctx context.Context, m *Message) ([]MessageDelivery, error)
}

// HeaderStatus is where the dead letter of a delivery has the HTTP status of its last
// attempt, if there was one.
const HeaderStatus = "x-status"

// DeliveryLetterID returns the id of the dead letter of a delivery that was given up:
// the same one for the same round, however often that is recorded.
func DeliveryLetterID(tenantID, endpointID, messageID uuid.UUID, round int) uuid.UUID {
	namespace := uuid.UUID{0x9f, 0x1c, 0x6a, 0x0e, 0x5d, 0x0b, 0x5d, 0x6e, 0x8a, 0x53, 0x6d, 0x7f, 0x2f, 0x1f, 0x3c, 0x55}
	return uuid.NewSHA1(namespace, fmt.Appendf(nil, "%s/%s/%s/%d", tenantID, endpointID, messageID, round))
}
