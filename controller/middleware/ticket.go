package middleware

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/domain"
)

const ticketQuery = "ticket"

// ticketOffice takes tickets. Who got one must release it, or return it unused.
type ticketOffice interface {
	Redeem(ctx context.Context, ticket string, tenantID uuid.UUID, resume bool) (domain.Ticket, uuid.UUID, error)
	Release(ctx context.Context, ticket domain.Ticket, claim uuid.UUID)
	Return(ctx context.Context, ticket domain.Ticket, claim uuid.UUID)
}

// rechecker tells what a caller may do now.
type rechecker interface {
	Recheck(ctx context.Context, p domain.Principal) (domain.Principal, error)
}

// HeldTicket is a ticket that the request has been let in by.
type HeldTicket struct {
	domain.Ticket

	// Claim names the request towards those who keep the tickets.
	Claim uuid.UUID
}

// AuthenticateOrTicket is Authenticate for a route that ?ticket= opens as well.
// The ticket then counts instead of the header Authorization, and instead of a
// choice of the tenant; naming another tenant is answered as if there were none
// such. The request holds the ticket until it has been answered, and uses it up
// only by UseTicket: who is told to try again can. HEAD does not look at it.
func AuthenticateOrTicket(auth interface {
	authenticator
	rechecker
}, tickets ticketOffice, need domain.Role,
) gin.HandlerFunc {
	byHeader := Authenticate(auth, need)
	return func(c *gin.Context) {
		text, ok, err := Query(c, ticketQuery)
		if err != nil {
			Fail(c, err)
			return
		}
		if !ok || c.Request.Method == http.MethodHead {
			byHeader(c)
			return
		}
		expectsEvents(c)
		held, err := redeem(c, tickets, text)
		if err != nil {
			Fail(c, err)
			return
		}
		defer giveBack(c, tickets, held)
		c.Set(ticketKey, held)
		p, err := auth.Recheck(c.Request.Context(), holder(&held.Ticket))
		if err != nil {
			Fail(c, err)
			return
		}
		if admit(c, p, need) {
			c.Next()
		}
	}
}

// redeem takes the ticket for the request. A request that cannot be right in
// any case does not use it up.
func redeem(c *gin.Context, tickets ticketOffice, text string) (HeldTicket, error) {
	tenant, err := requestedTenant(c)
	if err != nil {
		return HeldTicket{}, err
	}
	begin, err := Begin(c)
	if err != nil {
		return HeldTicket{}, err
	}
	ticket, claim, err := tickets.Redeem(c.Request.Context(), text, tenant, begin.Resumed)
	return HeldTicket{ticket, claim}, err
}

// giveBack ends the request's hold of its ticket.
func giveBack(c *gin.Context, tickets ticketOffice, held HeldTicket) {
	if c.GetBool(ticketUsedKey) {
		tickets.Release(c.Request.Context(), held.Ticket, held.Claim)
	} else {
		tickets.Return(c.Request.Context(), held.Ticket, held.Claim)
	}
}

// UseTicket tells that a stream was opened and its client sent where it is: the
// ticket that the request may hold can only be resumed from now on.
func UseTicket(c *gin.Context) { c.Set(ticketUsedKey, true) }

// holder returns who a ticket lets in, for no longer than it lasts.
func holder(t *domain.Ticket) domain.Principal {
	p := t.Holder
	if p.ExpiresAt.IsZero() || t.ExpiresAt.Before(p.ExpiresAt) {
		p.ExpiresAt = t.ExpiresAt
	}
	return p
}

// Ticket returns the ticket that the request has been let in by, if it was by
// one.
func Ticket(c *gin.Context) (HeldTicket, bool) {
	held, ok := c.Value(ticketKey).(HeldTicket)
	return held, ok
}
