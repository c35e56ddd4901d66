package middleware

import (
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
)

// countTowards makes what the request does count towards the shares of a user,
// or, where there is none, of the address the request came from.
func countTowards(c *gin.Context, userID uuid.UUID) {
	callOf(c).CountTowards(userID, addressShare(addressOf(c)))
}
