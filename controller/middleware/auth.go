package middleware

import (
	"context"

	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
)

// authenticator returns the caller that sent an Authorization header; "" for
// none.
type authenticator interface {
	Authenticate(ctx context.Context, authorization string) (domain.Principal, error)
}

// Authenticate identifies the caller by the header Authorization, and refuses
// callers whose role does not cover need.
func Authenticate(auth authenticator, need domain.Role) gin.HandlerFunc {
	return func(c *gin.Context) {
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

// Admit makes p the caller of the request, and reports whether its role covers
// need; if not it refuses the request.
func Admit(c *gin.Context, p domain.Principal, need domain.Role) bool {
	c.Set(principalKey, p)
	countTowards(c, p.UserID)
	if !p.Role.Covers(need) {
		Fail(c, domain.New(domain.ErrForbidden, "role_insufficient", "This needs the role "+string(need)+"."))
		return false
	}
	return true
}
