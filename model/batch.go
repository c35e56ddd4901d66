package model

import (
	"encoding/json"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// MaxBatchMessages is how many messages one batch may have.
const MaxBatchMessages = 1000

// PublishBatch is the body of POST /messages/batch as it is documented.
type PublishBatch struct {
	// Messages has 1 to 1000 messages.
	Messages []BatchMessage `json:"messages" validate:"required,min=1,max=1000"`
} //@name PublishBatch

// RawBatch is the body of POST /messages/batch as it is read: the messages are
// taken apart one by one, so that a wrong one does not spoil the others.
type RawBatch struct {
	Messages json.RawMessage `json:"messages"`
}

// BatchMessage is one message of a batch.
type BatchMessage struct {
	// Payload is any JSON value, null included.
	Payload json.RawMessage `json:"payload" validate:"required" swaggertype:"object,string" example:"text:hello"`
	// Type is as in PublishMessage.
	Type *string `json:"type" maxLength:"128" example:"order.created"`
	// OrderingKey is as in PublishMessage.
	OrderingKey *string `json:"ordering_key" maxLength:"128" example:"order-1842"`
	// Headers are as in PublishMessage.
	Headers map[string]string `json:"headers" example:"source:shop"`
	// IdempotencyKey has 1 to 255 printable ASCII characters.
	IdempotencyKey *string `json:"idempotency_key" minLength:"1" maxLength:"255" example:"order-1842"`
} //@name BatchMessage

// Domain returns the message to be published, or an ErrInvalid. The payload
// shares the memory of the request.
func (r *BatchMessage) Domain() (domain.Submission, error) {
	if r.Payload == nil {
		return domain.Submission{}, payloadMissing()
	}
	s := domain.Submission{Payload: r.Payload, Type: textOf(r.Type), OrderingKey: textOf(r.OrderingKey), Headers: r.Headers}
	if r.IdempotencyKey != nil {
		if err := domain.CheckIdempotencyKey(*r.IdempotencyKey, "/idempotency_key"); err != nil {
			return domain.Submission{}, err
		}
		s.IdempotencyKey = *r.IdempotencyKey
	}
	return s, nil
}

// BatchResult is the answer to POST /messages/batch.
type BatchResult struct {
	Accepted int `json:"accepted" validate:"required" example:"1"`
	Rejected int `json:"rejected" validate:"required" example:"0"`
	// Results has one entry for each message, in the order they were sent.
	Results []BatchItem `json:"results" validate:"required"`
} //@name BatchResult

// BatchItem is what became of one message of a batch.
type BatchItem struct {
	// Index counts the messages of the batch from 0.
	Index int `json:"index" validate:"required" example:"0"`
	// ID is the id of the message; a rejected one may have none.
	ID     string `json:"id,omitempty" format:"uuid" example:"0197a3a3-11d2-7a51-9a3e-0242ac120003"`
	Status string `json:"status" validate:"required" enums:"accepted,rejected" example:"accepted"`
	// Replayed is true when an earlier call with the same key was accepted.
	Replayed bool `json:"replayed,omitempty" example:"false"`
	// Error is why the message was rejected.
	Error *BatchError `json:"error,omitempty"`
} //@name BatchItem

// BatchError is why one message of a batch was rejected.
type BatchError struct {
	// Status is what a publication of this message alone would have answered.
	Status int    `json:"status" validate:"required" example:"422"`
	Code   string `json:"code" validate:"required" example:"invalid_fields"`
	Detail string `json:"detail" validate:"required" example:"Some fields are not valid."`
	// Errors names the fields by pointers into this message.
	Errors []FieldError `json:"errors,omitempty"`
} //@name BatchError

// AcceptedItem returns the entry of a message that was accepted.
func AcceptedItem(index int, r *domain.Receipt) BatchItem {
	return BatchItem{Index: index, ID: r.ID.String(), Status: StatusAccepted, Replayed: r.Replayed}
}

// RejectedItem returns the entry of a message that was rejected with p.
func RejectedItem(index int, id uuid.UUID, p *Problem) BatchItem {
	item := BatchItem{
		Index: index, Status: StatusRejected,
		Error: &BatchError{Status: p.Status, Code: p.Code, Detail: p.Detail, Errors: p.Errors},
	}
	if id != uuid.Nil {
		item.ID = id.String()
	}
	return item
}
