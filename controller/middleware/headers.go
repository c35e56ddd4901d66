package middleware

import (
	"strings"

	"github.com/gin-gonic/gin"
)

// SecurityHeaders keeps browsers from guessing types, framing, and running
// anything that is not Swagger UI's own.
func SecurityHeaders() gin.HandlerFunc {
	// Values of headers, which all answers share and nobody changes.
	apiPolicy := []string{"default-src 'none'; frame-ancestors 'none'"}
	swaggerPolicy := []string{"default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"}
	noSniff, noFrames, noReferrer := []string{"nosniff"}, []string{"DENY"}, []string{"no-referrer"}
	return func(c *gin.Context) {
		policy := apiPolicy
		if strings.HasPrefix(c.Request.URL.Path, "/swagger/") {
			policy = swaggerPolicy
		}
		h := c.Writer.Header()
		h["Content-Security-Policy"] = policy
		h["X-Content-Type-Options"] = noSniff
		h["X-Frame-Options"] = noFrames
		h["Referrer-Policy"] = noReferrer
	}
}
