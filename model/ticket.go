package model

import (
	"time"
)

// Ticket is the answer to POST /messages/stream/tickets.
type Ticket struct {
	// Ticket goes into the query of GET /messages/stream, within 30 seconds.
	Ticket string `json:"ticket" validate:"required" example:"q3Jp0wX1c8mT5vYbKzR7uE2nLhG9aSdF4iQoW6xPyZk"`
	// ExpiresAt is until when EventSource may connect with it again.
	ExpiresAt time.Time `json:"expires_at" validate:"required" format:"date-time" example:"2026-11-21T11:00:00Z"`
} //@name Ticket

// FromTicket returns the answer for a ticket that was issued.
func FromTicket(ticket string, expiresAt time.Time) Ticket {
	return Ticket{Ticket: ticket, ExpiresAt: expiresAt.UTC()}
}
