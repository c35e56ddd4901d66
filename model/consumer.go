package model

import (
	"time"

	"lanekeeper/domain"
)

// Consumer is the consumer of a tenant at one moment.
type Consumer struct {
	TenantID string `json:"tenant_id" validate:"required" format:"uuid" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
	// State is what the replica that has the consumer reports;
	// "waiting_for_store" while its database is away, "unknown" while that
	// report cannot be read.
	State string `json:"state" validate:"required" enums:"starting,running,reconnecting,waiting_for_store,draining,stopped,failed,unknown" example:"running"`
	// Stopped is true when the consumer was stopped on purpose, and stays so
	// until it is started again.
	Stopped bool `json:"stopped" validate:"required" example:"false"`
	// Workers is the number of workers asked for, and busy how many of them
	// process messages.
	Workers int `json:"workers" validate:"required" example:"3"`
	Busy    int `json:"busy" validate:"required" example:"1"`
	// QueueDepth is how many messages are not processed yet, as last seen;
	// null when that is not known.
	QueueDepth *int64 `json:"queue_depth" validate:"required" extensions:"x-nullable" example:"0"`
	// ConsumerTag names the subscription at the broker, and replica the process
	// that holds it; "" without one.
	ConsumerTag string `json:"consumer_tag" validate:"required" example:"tenant_0197a3a2-7d2c-7c3e-8f7e-0242ac120002_host-1c2d3e4f_1"`
	Replica     string `json:"replica" validate:"required" example:"host-1c2d3e4f"`
	// Since is when the consumer entered its state; null without one.
	Since *time.Time `json:"since" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T10:00:00Z"`
	// LastError is what went wrong last; "" when nothing did, or since it runs
	// again.
	LastError string `json:"last_error" validate:"required" example:""`
} //@name Consumer

// FromConsumer returns the status of a consumer.
func FromConsumer(s *domain.ConsumerStatus) Consumer {
	answer := Consumer{
		TenantID: s.TenantID.String(), State: string(s.State), Stopped: s.Stopped, Workers: s.Workers, Busy: s.Busy,
		ConsumerTag: s.Tag, Replica: s.Replica, LastError: s.LastError,
	}
	if s.Depth >= 0 {
		answer.QueueDepth = &s.Depth
	}
	if !s.Since.IsZero() {
		since := s.Since.UTC()
		answer.Since = &since
	}
	return answer
}

// ConsumerPage is a page of consumers.
type ConsumerPage struct {
	Data []Consumer `json:"data" validate:"required"`
	// NextCursor begins the next page; "" at the end.
	NextCursor string `json:"next_cursor" validate:"required" example:""`
	// LastCursor says where to go on later.
	LastCursor string `json:"last_cursor" validate:"required" example:"0197a3a2-7d2c-7c3e-8f7e-0242ac120002"`
} //@name ConsumerPage

// FromConsumers returns a page of consumers; sent is the cursor of the
// request.
func FromConsumers(consumers []domain.ConsumerStatus, more bool, sent string) ConsumerPage {
	page := ConsumerPage{Data: make([]Consumer, len(consumers))}
	for i := range consumers {
		page.Data[i] = FromConsumer(&consumers[i])
	}
	last := ""
	if n := len(consumers); n > 0 {
		last = page.Data[n-1].TenantID
	}
	page.NextCursor, page.LastCursor = cursors(last, more, sent)
	return page
}

// ChangedConsumers is the answer to DELETE and POST /consumers.
type ChangedConsumers struct {
	// Changed is how many consumers are stopped, or may run, that were not
	// before.
	Changed int `json:"changed" validate:"required" example:"12"`
} //@name ChangedConsumers
