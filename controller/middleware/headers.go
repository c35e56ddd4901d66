package middleware

import (
	"strings"

	"github.com/gin-gonic/gin"
)

const (
	apiPolicy     = "default-src 'none'; frame-ancestors 'none'"
	swaggerPolicy = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

// SecurityHeaders keeps browsers from guessing types, framing, and running
// anything that is not Swagger UI's own.
func SecurityHeaders() gin.HandlerFunc {
	return func(c *gin.Context) {
		policy := apiPolicy
		if strings.HasPrefix(c.Request.URL.Path, "/swagger/") {
			policy = swaggerPolicy
		}
		h := c.Writer.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
	}
}
