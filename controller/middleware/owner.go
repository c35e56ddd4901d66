package middleware

import (
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/domain"
)

// countTowards makes what the request does count towards the shares of a user,
// or, where there is none, of the address the request came from.
func countTowards(c *gin.Context, userID uuid.UUID) {
	owner := "address " + addressShare(c.ClientIP())
	if userID != uuid.Nil {
		owner = "user " + userID.String()
	}
	c.Request = c.Request.WithContext(domain.WithOwner(c.Request.Context(), owner))
}
