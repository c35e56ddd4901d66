package controller

import (
	"context"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

const (
	ticketQuery = "ticket"
	ticketKey   = "lanekeeper.ticket" // of the *heldTicket in the gin.Context
)

// ticketService issues and redeems tickets. Whoever got one from Redeem must
// call Keep while the stream is open and Release at its end, or Return when
// none was opened.
type ticketService interface {
	Issue(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (ticket string, expiresAt time.Time, err error)
	Redeem(ctx context.Context, ticket string, tenantID uuid.UUID, resume bool) (domain.Ticket, uuid.UUID, error)
	// Keep returns nil when ctx ends, and an error when the ticket is lost.
	Keep(ctx context.Context, ticket domain.Ticket, claim uuid.UUID) error
	Release(ctx context.Context, ticket domain.Ticket, claim uuid.UUID)
	Return(ctx context.Context, ticket domain.Ticket, claim uuid.UUID)
}

// heldTicket is the ticket of a request. It belongs to its goroutine.
type heldTicket struct {
	domain.Ticket

	// claim names the request to the ticket service.
	claim uuid.UUID
	// used: a stream was opened, and its client knows where it is. From then on
	// the ticket can only be resumed.
	used bool
}

// authenticateOrTicket is middleware.Authenticate for the stream, which ?ticket=
// opens as well. The ticket then counts instead of the header Authorization and
// of a choice of the tenant; to name another tenant is answered as if there were
// none such. The request holds the ticket until it has been answered, and uses it
// up only when a stream was opened: a client that is told to try again can. HEAD
// does not redeem it.
func authenticateOrTicket(auth authService, tickets ticketService, tenants tenantDirectory, need middleware.Need) gin.HandlerFunc {
	byHeader := middleware.Authenticate(auth, need)
	return func(c *gin.Context) {
		text, ok, err := middleware.Query(c, ticketQuery)
		if err != nil {
			middleware.Fail(c, err)
			return
		}
		if !ok || c.Request.Method == http.MethodHead {
			byHeader(c)
			return
		}
		if expectsEvents(c) {
			middleware.RefuseBy(c, refuseByStream)
		}
		held, err := redeemTicket(c, tickets, tenants, text)
		if err != nil {
			middleware.Fail(c, err)
			return
		}
		defer giveBackTicket(c, tickets, held)
		c.Set(ticketKey, held)
		middleware.BindTenant(c, held.TenantID)
		p, err := auth.Recheck(c.Request.Context(), ticketHolder(&held.Ticket))
		if err != nil {
			middleware.Fail(c, err)
			return
		}
		if middleware.Admit(c, p, need) {
			c.Next()
		}
	}
}

// redeemTicket takes the ticket for the request. Whether an external id that it names is
// that of the ticket's tenant is seen when it is known whose ticket it is. A request that cannot be right
// in any case does not use it up.
func redeemTicket(c *gin.Context, tickets ticketService, tenants tenantDirectory, text string) (*heldTicket, error) {
	tenant, err := middleware.RequestedTenant(c, tenants)
	if err != nil {
		return nil, err
	}
	begin, err := requestedBeginning(c)
	if err != nil {
		return nil, err
	}
	ticket, claim, err := tickets.Redeem(c.Request.Context(), text, tenant.ID, begin.resumed)
	return &heldTicket{Ticket: ticket, claim: claim}, err
}

// giveBackTicket ends the request's hold of its ticket.
func giveBackTicket(c *gin.Context, tickets ticketService, held *heldTicket) {
	if held.used {
		tickets.Release(c.Request.Context(), held.Ticket, held.claim)
	} else {
		tickets.Return(c.Request.Context(), held.Ticket, held.claim)
	}
}

// ticketHolder returns whom a ticket lets in, for no longer than it lasts.
func ticketHolder(t *domain.Ticket) domain.Principal {
	p := t.Holder
	if p.ExpiresAt.IsZero() || t.ExpiresAt.Before(p.ExpiresAt) {
		p.ExpiresAt = t.ExpiresAt
	}
	return p
}

// requestTicket returns the ticket that let the request in, or nil.
func requestTicket(c *gin.Context) *heldTicket {
	held, _ := c.Value(ticketKey).(*heldTicket)
	return held
}

// issueTicket issues a ticket for streams.
//
//	@Summary		Get a ticket for a stream
//	@ID			createStreamTicket
//	@Description	For EventSource, which cannot send headers: `new EventSource("/api/messages/stream?ticket=...")`. A ticket must be used for the first time within 30 seconds; a stream that is refused does not use it up. Later uses need `Last-Event-ID`, as EventSource sends it when it comes back; a stream that is still open with the ticket then ends. It expires with the token it was asked for with; one that was asked for with an API key lasts as long as a token would, and ends with the key.
//	@Tags			messages
//	@Security		BearerAuth
//	@Produce		json
//	@Param			X-Tenant-ID					header		string	false	"The tenant; may be left out by a caller that belongs to one"	format(uuid)
//	@Param			tenant_id					query		string	false	"The same as X-Tenant-ID"										format(uuid)
//	@Success		201							{object}	model.Ticket
//	@Failure		400,401,403,404,413,500,503	{object}	model.Problem
//	@Router			/messages/stream/tickets [post]
//	@x-scope			"read"
//	@x-portal			"never"
func (s *streamController) issueTicket(c *gin.Context) error {
	ticket, expiresAt, err := s.tickets.Issue(c.Request.Context(), middleware.Principal(c), middleware.Tenant(c).ID)
	if err != nil {
		return err
	}
	return writeJSON(c, http.StatusCreated, model.FromTicket(ticket, expiresAt))
}
