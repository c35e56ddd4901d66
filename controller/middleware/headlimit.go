package middleware

import (
	"fmt"
	"net/http"

	"github.com/gin-gonic/gin"

	"lanekeeper/model"
)

const (
	// maxTarget bounds the path with the query: the longest that is of use has
	// two ids, a cursor and a ticket.
	maxTarget = 8 << 10
	// maxHeaders is how many header lines a request may have; each takes more
	// memory than its text.
	maxHeaders = 100
)

// HeadLimit refuses requests with a path and query that are too long (414), and
// with too many header lines (431). How large the head may be in all is for the
// server to say.
func HeadLimit() gin.HandlerFunc {
	return func(c *gin.Context) {
		lines := 0
		for _, values := range c.Request.Header {
			lines += len(values)
		}
		var problem *model.Problem
		switch {
		case len(c.Request.RequestURI) > maxTarget:
			problem = &model.Problem{
				Status: http.StatusRequestURITooLong, Code: "uri_too_long",
				Detail: fmt.Sprintf("The path and the query may have at most %d bytes.", maxTarget),
			}
		case lines > maxHeaders:
			problem = &model.Problem{
				Status: http.StatusRequestHeaderFieldsTooLarge, Code: "too_many_headers",
				Detail: fmt.Sprintf("A request may have at most %d header lines.", maxHeaders),
			}
		default:
			return
		}
		c.Abort()
		problem.Instance = "/" // the path may be what is too long
		writeProblem(c, problem)
	}
}
