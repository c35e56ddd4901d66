package domain

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// StreamBounds are the part of a tenant's history that exists.
type StreamBounds struct {
	// First is the lowest seq that is kept, and Last the highest that was ever
	// given; Last is First-1 where nothing is kept.
	First, Last int64
}

// StreamRepository reads histories for realtime streams, on connections of
// its own. Methods are safe for concurrent use.
type StreamRepository interface {
	// StreamBounds returns ErrNotFound for a tenant without a history.
	StreamBounds(ctx context.Context, tenantID uuid.UUID) (StreamBounds, error)
	// ReadStream returns, oldest first, at most limit messages after cursor,
	// and whether more follow. It is fewer when they would exceed maxBytes, as
	// Message.Size counts, but none only when there are none; no payload that
	// is not returned is read. When messages after the cursor are not kept any
	// longer it is an ErrGone; a cursor that the history has not reached is an
	// ErrConflict, and a tenant without a history an ErrNotFound.
	ReadStream(ctx context.Context, tenantID uuid.UUID, cursor int64, limit, maxBytes int) (messages []Message, more bool, err error)
}

// EventStream is one client's stream of events. It is not safe for concurrent
// use, but for Close.
type EventStream interface {
	// Next waits for the messages that follow those it returned before, and
	// returns them as they are to be sent; the caller must not change them.
	// After the error of ctx it can be called again, and nothing is missed.
	// Other errors end the stream: ErrGone when messages that should follow
	// are not kept any longer, ErrNotFound when the tenant is gone, ErrConflict
	// when the history is not any longer the one it was, and ErrUnavailable
	// when the service is shutting down.
	Next(ctx context.Context) ([]byte, error)
	// Position is the seq of the last message that Next returned or, before
	// that, of the one after which the stream begins. It must not be called
	// while Next runs.
	Position() int64
	// Close gives the stream back. It may be called more than once.
	Close()
}

// Ticket lets a browser open a stream without a header.
type Ticket struct {
	// Hash is the SHA-256 of what the browser sends.
	Hash     []byte
	TenantID uuid.UUID
	// Holder is the caller that asked for the ticket. Its role and tenant count as they
	// are when the ticket is used, and are not kept with it.
	Holder Principal
	// FirstUseBy is until when the ticket must have been used for the first
	// time (ExpiresAt once it was), and ExpiresAt until when it may be used at
	// all.
	FirstUseBy time.Time
	ExpiresAt  time.Time
	// Used: it was taken for a stream before.
	Used bool
}

// TicketUse is with what right a ticket is claimed.
type TicketUse uint8

// The uses of a ticket.
const (
	// TicketFirst is for one that was not used before.
	TicketFirst TicketUse = iota
	// TicketResumed is by a client that says where its stream was: a stream that
	// is still open on the ticket is asked to end.
	TicketResumed
	// TicketTakeover is the same for a stream that did not end when it was
	// asked: it loses the ticket.
	TicketTakeover
)

// TicketRepository keeps tickets. Methods are safe for concurrent use; the
// clock that counts is that of the database.
type TicketRepository interface {
	// InsertTicket stores a ticket that may be used for the first time within
	// firstUse, and again within lifetime. It returns when these end.
	InsertTicket(ctx context.Context, t Ticket, firstUse, lifetime time.Duration) (Ticket, error)
	// FindTicket returns a ticket without using it; ErrNotFound for one that is
	// unknown or expired, or was not used in time.
	FindTicket(ctx context.Context, hash []byte) (Ticket, error)
	// ClaimTicket takes the ticket for one stream, named by claim, until lease
	// has passed. The first use must come in time; for later ones use says that
	// the client knows where it was. ErrNotFound is the one answer for a ticket
	// that is unknown, expired, or must not be used (again); ErrConflict means
	// that another stream is open on it, which with TicketResumed has been asked
	// to end. It returns the ticket as it was before, for ReturnTicket.
	ClaimTicket(ctx context.Context, hash []byte, claim uuid.UUID, use TicketUse, lease time.Duration) (Ticket, error)
	// RenewTicket prolongs a claim, and reports whether another call has asked for
	// the ticket meanwhile; ErrNotFound when the claim is lost.
	RenewTicket(ctx context.Context, hash []byte, claim uuid.UUID, lease time.Duration) (wanted bool, err error)
	// ReleaseTicket ends a claim, so that the ticket can be used again at once.
	ReleaseTicket(ctx context.Context, hash []byte, claim uuid.UUID) error
	// ReturnTicket undoes a claim with which no stream was opened: the ticket is
	// again as ClaimTicket returned it. A claim that is lost changes nothing.
	ReturnTicket(ctx context.Context, t Ticket, claim uuid.UUID) error
	// DeleteExpiredTickets deletes at most limit tickets that no client can use
	// any more, and returns how many there were.
	DeleteExpiredTickets(ctx context.Context, limit int) (int, error)
}
