package model

import (
	"time"

	"lanekeeper/domain"
)

// MessageDetail is one stored message, with how far it is on its way to endpoints.
type MessageDetail struct {
	Message
	// TraceID is the trace that the message belongs to, as OpenTelemetry calls it, and left out where none is known.
	TraceID string `json:"trace_id,omitempty" minLength:"32" maxLength:"32" example:"4bf92f3577b34da6a3ce929d0e0e4736"`
	// Deliveries has one for each endpoint that the message is for, or was delivered to.
	Deliveries []MessageDelivery `json:"deliveries" validate:"required"`
} //@name MessageDetail

// MessageDelivery is how far a message is on its way to one endpoint.
type MessageDelivery struct {
	EndpointID string `json:"endpoint_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120004"`
	// State pending: the first attempt is to come, or not over; retrying: it failed, and is to be tried again; delivered: an attempt that succeeded is on record; failed: it was given up, and is a dead letter; passed: the endpoint has got past it and no record is kept any longer, or it was stored before the endpoint began.
	State string `json:"state" validate:"required" enums:"pending,retrying,delivered,failed,passed" example:"retrying"`
	// Attempts is how many are known of.
	Attempts int `json:"attempts" validate:"required" example:"2"`
	// LastStatus is the HTTP status of the last attempt; null when there was no answer.
	LastStatus *int `json:"last_status" validate:"required" extensions:"x-nullable" example:"503"`
	// NextAttemptAt is when it is tried next; null for not, or when another message of its ordering_key is done.
	NextAttemptAt *time.Time `json:"next_attempt_at" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T10:00:05Z"`
} //@name MessageDelivery

// EncodeMessageDetail returns the JSON of a MessageDetail, as EncodeMessage does.
func EncodeMessageDetail(m *domain.Message, deliveries []domain.MessageDelivery) (head, payload, tail []byte, err error) {
	shown := make([]MessageDelivery, len(deliveries))
	for i := range deliveries {
		d := &deliveries[i]
		shown[i] = MessageDelivery{
			EndpointID: d.EndpointID.String(), State: string(d.State), Attempts: d.Attempts, LastStatus: optionalNumber(d.LastStatus), NextAttemptAt: optionalTime(d.NextAt),
		}
	}
	encoded, err := encode(shown)
	if err != nil {
		return nil, nil, nil, err
	}
	head, payload, tail = EncodeMessage(m)
	tail = tail[:len(tail)-1] // before the closing brace
	if id := m.TraceContext().TraceID(); id != "" {
		tail = append(append(append(tail, `,"trace_id":"`...), id...), '"')
	}
	tail = append(tail, `,"deliveries":`...)
	return head, payload, append(append(tail, encoded...), '}'), nil
}
