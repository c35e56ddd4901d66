package middleware

import (
	"net/url"

	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
)

const queryKey = "lanekeeper.query"

// Query returns the value of a query parameter and whether it was sent. A
// parameter that was sent more than once and a query string that cannot be
// parsed are an ErrMalformed.
func Query(c *gin.Context, name string) (value string, ok bool, err error) {
	values, known := c.Value(queryKey).(url.Values)
	if !known {
		if values, err = url.ParseQuery(c.Request.URL.RawQuery); err != nil {
			return "", false, domain.Wrap(err, domain.ErrMalformed, "invalid_query", "The query string cannot be parsed.")
		}
		c.Set(queryKey, values)
	}
	sent := values[name]
	switch len(sent) {
	case 0:
		return "", false, nil
	case 1:
		return sent[0], true, nil
	}
	return "", false, InvalidQuery(name, "must be sent once")
}

// Header returns the value of a header and whether it was sent. A header that
// was sent more than once is an ErrMalformed.
func Header(c *gin.Context, name string) (value string, ok bool, err error) {
	sent := c.Request.Header.Values(name)
	switch len(sent) {
	case 0:
		return "", false, nil
	case 1:
		return sent[0], true, nil
	}
	e := domain.New(domain.ErrMalformed, "repeated_header", "The header "+name+" was sent more than once.")
	e.Fields = []domain.FieldError{{Pointer: name, Message: "must be sent once"}}
	return "", false, e
}

// InvalidQuery returns the ErrMalformed for a query parameter.
func InvalidQuery(name, message string) error {
	e := domain.New(domain.ErrMalformed, "invalid_query", "The query parameter "+name+" is not valid.")
	e.Fields = []domain.FieldError{{Pointer: name, Message: message}}
	return e
}
