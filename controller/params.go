package controller

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
)

const (
	defaultLimit = 50
	maxLimit     = 1000
	apiPrefix    = "/api"

	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotent-Replayed"
)

// pathID returns the id in the path.
func pathID(c *gin.Context) (uuid.UUID, error) { return domain.ParseID(c.Param("id")) }

// location returns the path of a resource under the prefix the request came
// with.
func location(c *gin.Context, path string) string {
	if strings.HasPrefix(c.FullPath(), apiPrefix+"/") {
		return apiPrefix + path
	}
	return path
}

// queryLimit returns ?limit=, 1 to maxLimit, or the default.
func queryLimit(c *gin.Context) (int, error) {
	text, ok, err := middleware.Query(c, "limit")
	if err != nil || !ok {
		return defaultLimit, err
	}
	n, ok := parseNumber(text)
	if !ok || n < 1 || n > maxLimit {
		return 0, middleware.InvalidQuery("limit", fmt.Sprintf("must be a number between 1 and %d", maxLimit))
	}
	return int(n), nil
}

// querySeq returns ?cursor= as a number, and whether it was sent.
func querySeq(c *gin.Context) (seq int64, ok bool, err error) {
	sent, ok, err := middleware.Query(c, "cursor")
	if err != nil || !ok {
		return 0, false, err
	}
	seq, valid := parseNumber(sent)
	if !valid {
		return 0, false, middleware.InvalidQuery("cursor", "must be a number from an earlier answer, or 0")
	}
	return seq, true, nil
}

// queryAfter returns ?cursor= as an id and as it was sent. No cursor and
// model.StartCursor are the zero UUID.
func queryAfter(c *gin.Context) (after uuid.UUID, sent string, err error) {
	sent, ok, err := middleware.Query(c, "cursor")
	if err != nil || !ok || sent == model.StartCursor {
		return uuid.Nil, sent, err
	}
	if after, err = domain.ParseID(sent); err != nil {
		return uuid.Nil, "", middleware.InvalidQuery("cursor", "must come from an earlier answer, or be 0")
	}
	return after, sent, nil
}

// queryFlag reports whether a query parameter, which is false when it was not
// sent, is true.
func queryFlag(c *gin.Context, name string) (bool, error) {
	text, ok, err := middleware.Query(c, name)
	switch {
	case err != nil:
		return false, err
	case !ok, text == "false":
		return false, nil
	case text == "true":
		return true, nil
	}
	return false, middleware.InvalidQuery(name, `must be "true" or "false"`)
}

// parseNumber parses a number of digits only.
func parseNumber(text string) (int64, bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	return int64(min(n, math.MaxInt64)), err == nil && n <= math.MaxInt64
}

// idempotencyKey returns the header Idempotency-Key, or "".
func idempotencyKey(c *gin.Context) (string, error) {
	key, ok, err := middleware.Header(c, idempotencyHeader)
	if err != nil || !ok {
		return "", err
	}
	return key, domain.CheckIdempotencyKey(key, idempotencyHeader)
}
