package model

import (
	"strconv"
	"time"

	"lanekeeper/domain"
)

// DeadLetterGroup is letters that were given up for the same reason, with errors that
// differ in nothing but numbers, ids, quoted texts and addresses.
type DeadLetterGroup struct {
	Reason string `json:"reason" validate:"required" enums:"invalid_payload,invalid_headers,id_conflict,not_storable,delivery_failed,transmit_failed,endpoint_paused,unknown" example:"delivery_failed"`
	// EndpointID is the endpoint that did not take the messages; null for letters of
	// no delivery.
	EndpointID *string `json:"endpoint_id" validate:"required" format:"uuid" extensions:"x-nullable" example:"0197a3a4-7d2c-7c3e-8f7e-0242ac120004"`
	// Error is the error, with placeholders: <number>, <uuid>, <hex>, <id>, <text>,
	// <address>.
	Error string `json:"error" validate:"required" example:"status 503"`
	Count int    `json:"count" validate:"required" example:"1842"`
	// First and Last are when the oldest and the newest letter were recorded, of
	// those that were counted.
	First time.Time `json:"first" validate:"required" format:"date-time" example:"2026-11-21T10:00:00.123456Z"`
	Last  time.Time `json:"last" validate:"required" format:"date-time" example:"2026-11-21T11:00:00.123456Z"`
	// ExampleID is the id of the newest letter.
	ExampleID int64 `json:"example_id" validate:"required" format:"int64" example:"17"`
} //@name DeadLetterGroup

// DeadLetterGroups is the answer to GET /dead-letters/groups.
type DeadLetterGroups struct {
	// Data has the 100 largest groups, the largest first.
	Data []DeadLetterGroup `json:"data" validate:"required"`
	// Others is how many letters are in other groups.
	Others int `json:"others" validate:"required" example:"0"`
	// Counted is how many letters were looked at, the newest, at most 100,000;
	// truncated says that there are more.
	Counted   int  `json:"counted" validate:"required" example:"1842"`
	Truncated bool `json:"truncated" validate:"required" example:"false"`
} //@name DeadLetterGroups

// FromDeadLetterGroups returns the answer about groups of dead letters.
func FromDeadLetterGroups(g *domain.DeadLetterGroups) DeadLetterGroups {
	answer := DeadLetterGroups{Data: make([]DeadLetterGroup, len(g.Groups)), Others: g.Others, Counted: g.Counted, Truncated: g.Truncated}
	for i := range g.Groups {
		group := &g.Groups[i]
		answer.Data[i] = DeadLetterGroup{
			Reason: string(group.Reason), EndpointID: optionalID(group.EndpointID), Error: group.Error, Count: group.Count,
			First: group.First.UTC(), Last: group.Last.UTC(), ExampleID: group.Example,
		}
	}
	return answer
}

// DeadLetterSummary is a dead letter without what it carries.
type DeadLetterSummary struct {
	ID int64 `json:"id" validate:"required" format:"int64" example:"17"`
	// MessageID is the beginning of the id that the message had, and type of its type; "" for none.
	MessageID string `json:"message_id" validate:"required" example:"0197a3a3-11d2-7a51-9a3e-0242ac120003"`
	Type      string `json:"type" validate:"required" example:"order.created"`
	Reason    string `json:"reason" validate:"required" enums:"invalid_payload,invalid_headers,id_conflict,not_storable,delivery_failed,transmit_failed,endpoint_paused,unknown" example:"delivery_failed"`
	// EndpointID is the endpoint that did not take the message; null for letters of no delivery.
	EndpointID *string `json:"endpoint_id" validate:"required" format:"uuid" extensions:"x-nullable" example:"0197a3a4-7d2c-7c3e-8f7e-0242ac120004"`
	// Error is the beginning of the error, 300 characters at most.
	Error     string    `json:"error" validate:"required" example:"status 503"`
	CreatedAt time.Time `json:"created_at" validate:"required" format:"date-time" example:"2026-11-21T10:00:00.123456Z"`
	// ReplayedAt is when it was last sent again; null for never.
	ReplayedAt *time.Time `json:"replayed_at" validate:"required" format:"date-time" extensions:"x-nullable" example:"2026-11-21T11:00:00Z"`
} //@name DeadLetterSummary

// DeadLetterSummaryPage is a page of summaries, newest first.
type DeadLetterSummaryPage struct {
	Data []DeadLetterSummary `json:"data" validate:"required"`
	// NextCursor begins the next page; "" at the end.
	NextCursor string `json:"next_cursor" validate:"required" example:""`
} //@name DeadLetterSummaryPage

// FromDeadLetterFailures returns a page of summaries.
func FromDeadLetterFailures(p *domain.DeadLetterFailures) DeadLetterSummaryPage {
	page := DeadLetterSummaryPage{Data: make([]DeadLetterSummary, len(p.Failures))}
	for i := range p.Failures {
		f := &p.Failures[i]
		page.Data[i] = DeadLetterSummary{
			ID: f.Seq, MessageID: f.MessageID, Type: f.Type, Reason: string(f.Reason), EndpointID: optionalID(f.EndpointID), Error: f.Error,
			CreatedAt: f.CreatedAt.UTC(), ReplayedAt: optionalTime(f.ReplayedAt),
		}
	}
	if p.Next > 0 {
		page.NextCursor = strconv.FormatInt(p.Next, 10)
	}
	return page
}
