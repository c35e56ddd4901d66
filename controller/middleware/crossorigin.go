package middleware

import (
	"net/http"
	"slices"
	"time"

	"github.com/gin-contrib/cors"
	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
)

// preflightAge is for how long browsers remember what they may send.
const preflightAge = 10 * time.Minute

// CrossOrigin lets web pages of these origins, of which there must be one, call
// the API with a token (Fetch Standard section 3.3, CORS). They send no cookies,
// for there are none. A preflight request is answered here, since browsers send no
// token with it. What pages of other origins send is answered without the headers
// that would let them read it: who is no browser sends what he likes as Origin, and
// is judged by his token.
func CrossOrigin(origins []string) gin.HandlerFunc {
	allow := cors.New(cors.Config{
		AllowOrigins:  origins,
		AllowMethods:  []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete},
		AllowHeaders:  []string{"Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "X-Request-ID", "X-Tenant-ID"},
		ExposeHeaders: []string{"Idempotent-Replayed", "Lanekeeper-Discarded", "Location", "Retry-After", "X-Request-ID"},
		MaxAge:        preflightAge,
	})
	return func(c *gin.Context) {
		switch {
		case slices.Contains(origins, c.GetHeader("Origin")):
			allow(c)
		case c.Request.Method == http.MethodOptions && c.GetHeader("Access-Control-Request-Method") != "":
			Fail(c, domain.New(domain.ErrForbidden, "origin_not_allowed", "Web pages of this origin may not call the API."))
		default: // a cache must not give its answer to one that may read it
			c.Header("Vary", "Origin")
		}
	}
}
