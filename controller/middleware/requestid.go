package middleware

import (
	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	requestIDHeader    = "X-Request-Id" // as net/http spells it
	maxRequestIDLength = 64
)

// RequestID gives every request an id: the one in X-Request-ID if it has 1 to
// 64 letters, digits, dots, dashes and underscores, else a new one. The answer
// carries it too. It goes first.
func RequestID() gin.HandlerFunc {
	return func(c *gin.Context) {
		id := c.GetHeader(requestIDHeader)
		if !saneRequestID(id) {
			id = newRequestID()
		}
		c.Header(requestIDHeader, id)
		r := of(c)
		r.connection = c.Request.Context()
		if conn, ok := connectionOf(c); ok {
			conn.Serving(id)
		}
		r.call = domain.NewCall(r.connection, id)
		c.Request = c.Request.WithContext(r.call)
	}
}

func newRequestID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return "unknown"
	}
	return id.String()
}

func saneRequestID(id string) bool {
	if id == "" || len(id) > maxRequestIDLength {
		return false
	}
	for i := range len(id) {
		switch b := id[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '.', b == '_', b == '-':
		default:
			return false
		}
	}
	return true
}
