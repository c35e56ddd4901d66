package middleware

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/domain"
)

// requestKey is where the gin.Context of a request has its request.
const requestKey = "lanekeeper.request"

// unmatched is the route of requests that no route matches.
const unmatched = "unmatched"

// request is what middleware knows of a request. Only its goroutine uses it.
type request struct {
	call *domain.Call
	// connection is the context that the request came with, which ends when the client
	// goes.
	connection context.Context //nolint:containedctx // of what the request came by
	control    *http.ResponseController
	route      string // its template
	address    string // where it came from, once asked for

	principal   domain.Principal
	identified  bool // principal is known
	tenant      domain.Tenant
	boundTenant uuid.UUID
	query       url.Values
	queryKnown  bool
	body        requestBody
	hasBody     bool

	refuse   func(*gin.Context, Refusal) bool
	gone     bool // the client did not wait
	ended    string
	begun    time.Time
	observe  func(route, method string, status int, seconds float64)
	observed bool
}

// of returns what is known of the request. It begins to be with RequestID.
func of(c *gin.Context) *request {
	if kept, ok := c.Get(requestKey); ok {
		if r, ok := kept.(*request); ok {
			return r
		}
	}
	r := &request{}
	c.Set(requestKey, r)
	return r
}

// callOf returns the context of the call, which takes what is found out of it.
func callOf(c *gin.Context) *domain.Call {
	r := of(c)
	if r.call == nil {
		r.call = domain.NewCall(c.Request.Context(), "")
		c.Request = c.Request.WithContext(r.call)
	}
	return r.call
}

// controlOf returns what knows the deadlines of the connection.
func controlOf(c *gin.Context) *http.ResponseController {
	r := of(c)
	if r.control == nil {
		r.control = http.NewResponseController(netHTTPWriter(c))
	}
	return r.control
}

// addressOf returns where the request came from.
func addressOf(c *gin.Context) string {
	r := of(c)
	if r.address == "" {
		r.address = c.ClientIP()
	}
	return r.address
}

// Route records the template of the route, for log and metrics.
func Route(template string) gin.HandlerFunc {
	return func(c *gin.Context) { of(c).route = template }
}

func route(c *gin.Context) string {
	if template := of(c).route; template != "" {
		return template
	}
	return unmatched
}

// Principal returns who makes the call. It is the zero Principal, which may do
// nothing, on routes without Authenticate.
func Principal(c *gin.Context) domain.Principal { return of(c).principal }

// Tenant returns the tenant the call is for. It is the zero Tenant on routes
// without SelectTenant.
func Tenant(c *gin.Context) domain.Tenant { return of(c).tenant }
