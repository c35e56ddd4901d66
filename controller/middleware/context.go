package middleware

import (
	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
)

// The keys under which middleware keeps what belongs to a request in its
// gin.Context.
const (
	routeKey      = "lanekeeper.route"
	principalKey  = "lanekeeper.principal"
	tenantKey     = "lanekeeper.tenant"
	boundKey      = "lanekeeper.bound"
	refusalKey    = "lanekeeper.refusal"
	connectionKey = "lanekeeper.connection"
	goneKey       = "lanekeeper.gone"
	observeKey    = "lanekeeper.observe"
	endedKey      = "lanekeeper.ended"
	bodyKey       = "lanekeeper.body"
)

// unmatched is the route of requests that no route matches.
const unmatched = "unmatched"

// Route records the template of the route, for log and metrics.
func Route(template string) gin.HandlerFunc {
	return func(c *gin.Context) { c.Set(routeKey, template) }
}

func route(c *gin.Context) string {
	if template := c.GetString(routeKey); template != "" {
		return template
	}
	return unmatched
}

// Principal returns who makes the call. It is the zero Principal, which may do
// nothing, on routes without Authenticate.
func Principal(c *gin.Context) domain.Principal {
	p, _ := c.Value(principalKey).(domain.Principal)
	return p
}

// Tenant returns the tenant the call is for. It is the zero Tenant on routes
// without SelectTenant.
func Tenant(c *gin.Context) domain.Tenant {
	t, _ := c.Value(tenantKey).(domain.Tenant)
	return t
}
