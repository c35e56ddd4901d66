package middleware

import (
	"context"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/domain"
)

// authenticator returns the caller that sent an Authorization header; "" for
// none.
type authenticator interface {
	Authenticate(ctx context.Context, authorization string) (domain.Principal, error)
}

// LinkUse says whether a route is for those who come with a portal link.
type LinkUse uint8

const (
	// LinkByScope: as it is for API keys, by its scope.
	LinkByScope LinkUse = iota
	// LinkAlways: whatever the scopes of the link.
	LinkAlways
	// LinkNever: what would outlive the link, or is not for the customers of an owner.
	LinkNever
)

// Need is what a route asks of its callers.
type Need struct {
	// Role is the least that they must have.
	Role domain.Role
	// Scope is what their API key must be for; 0 for a route that no key may use.
	Scope domain.Scopes
	// Links is where portal links differ from that.
	Links LinkUse
}

// permit returns nil when the caller has what the route needs.
func (n Need) permit(p domain.Principal) error {
	switch {
	case p.ByLink() && n.Links == LinkAlways:
		return nil
	case p.ByLink() && n.Links == LinkNever:
		return domain.LinkNotAccepted()
	}
	return p.Permit(n.Role, n.Scope) //nolint:wrapcheck // is meant for the caller
}

// Authenticate identifies the caller by the header Authorization, and refuses
// callers whose role, or whose API key, does not cover need. Until it is known who
// calls, the request counts towards the address that it came from.
func Authenticate(auth authenticator, need Need) gin.HandlerFunc {
	return func(c *gin.Context) {
		countTowards(c, uuid.Nil)
		header, _, err := Header(c, "Authorization")
		if err != nil {
			Fail(c, err)
			return
		}
		p, err := auth.Authenticate(c.Request.Context(), header)
		if err != nil {
			Fail(c, err)
			return
		}
		Admit(c, p, need)
	}
}

// actOnBehalf has what the request changes recorded as done by the caller.
func actOnBehalf(c *gin.Context, p domain.Principal) {
	actor := domain.Actor{Kind: domain.ActorUser, UserID: p.UserID, Address: addressOf(c)}
	switch {
	case p.ByLink():
		actor.Kind, actor.LinkID = domain.ActorPortal, p.LinkID
	case p.ByKey():
		actor.Kind, actor.KeyID = domain.ActorKey, p.KeyID
	case p.UserID == uuid.Nil:
		actor.Kind = domain.ActorOpen
	}
	callOf(c).SetActor(actor)
}

// Admit makes p the caller of the request, and reports whether it has what the route
// needs; if not it refuses the request.
func Admit(c *gin.Context, p domain.Principal, need Need) bool {
	r := of(c)
	r.principal, r.identified = p, true
	countTowards(c, p.UserID)
	actOnBehalf(c, p)
	if err := need.permit(p); err != nil {
		Fail(c, err)
		return false
	}
	return true
}
