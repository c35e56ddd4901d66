package domain

import "github.com/google/uuid"

// DeadLetterRef is a recorded dead letter without what it carries.
type DeadLetterRef struct {
	Seq       int64
	TenantID  uuid.UUID
	MessageID string
	Reason    DeadLetterReason
	// EndpointID is zero for letters of no delivery, and of earlier versions.
	EndpointID uuid.UUID
}

// OfDelivery reports whether the message is stored and was to be delivered to an
// endpoint: then it is that delivery that is replayed, and the queue has no part
// in it.
func (r *DeadLetterRef) OfDelivery() bool {
	return r.Reason == ReasonDeliveryFailed || r.Reason == reasonTransmitFailed || r.Reason == reasonEndpointPaused
}

// OfEarlierVersion reports whether an earlier version gave the delivery up: it was
// to the one endpoint that the tenant had then.
func (r *DeadLetterRef) OfEarlierVersion() bool {
	return r.OfDelivery() && r.Reason != ReasonDeliveryFailed
}

// StoredAs returns the id under which the message is stored.
func (r *DeadLetterRef) StoredAs() uuid.UUID { return StoredMessageID(r.TenantID, r.MessageID) }

// StoredMessageID returns the id under which a message is stored that came with
// this one, which is not "": one that is no UUID becomes a UUIDv5 within the
// tenant, so that it stays the same when the message is delivered again.
func StoredMessageID(tenantID uuid.UUID, id string) uuid.UUID {
	if parsed, err := ParseID(id); err == nil {
		return parsed
	}
	return uuid.NewSHA1(tenantID, []byte(id))
}
