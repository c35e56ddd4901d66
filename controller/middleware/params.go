package middleware

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
)

// PathValues unescapes the parameters of the path. The router would take a plus for a
// space, as it stands in query strings, and does not unescape what it was told to leave.
func PathValues() gin.HandlerFunc {
	return func(c *gin.Context) {
		if c.Request.URL.RawPath == "" { // the path was matched as it is once unescaped
			return
		}
		for i := range c.Params {
			if value, err := url.PathUnescape(c.Params[i].Value); err == nil { // else it would not have been parsed
				c.Params[i].Value = value
			}
		}
	}
}

// Query returns the value of a query parameter and whether it was sent. A
// parameter that was sent more than once and a query string that cannot be
// parsed are an ErrMalformed.
func Query(c *gin.Context, name string) (value string, ok bool, err error) {
	r := of(c)
	if !r.queryKnown {
		if r.query, err = url.ParseQuery(c.Request.URL.RawQuery); err != nil {
			return "", false, domain.Wrap(err, domain.ErrMalformed, "invalid_query", "The query string cannot be parsed.")
		}
		r.queryKnown = true
	}
	sent := r.query[name]
	switch len(sent) {
	case 0:
		return "", false, nil
	case 1:
		return sent[0], true, nil
	}
	return "", false, InvalidQuery(name, "must be sent once")
}

// QueryPrefixed returns the query parameters whose names begin with prefix, which is not
// in the names that it returns; nil for none. Errors are those of Query.
func QueryPrefixed(c *gin.Context, prefix string) (map[string]string, error) {
	if _, _, err := Query(c, prefix); err != nil {
		return nil, err
	}
	sent := of(c).query
	var values map[string]string
	for name := range sent {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		value, _, err := Query(c, name)
		if err != nil {
			return nil, err
		}
		if values == nil {
			values = make(map[string]string)
		}
		values[rest] = value
	}
	return values, nil
}

// Header returns the value of a header and whether it was sent. A header that
// was sent more than once is an ErrMalformed.
func Header(c *gin.Context, name string) (value string, ok bool, err error) {
	sent := c.Request.Header[canonical(name)]
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

// canonical returns the name of a header as net/http keeps it.
func canonical(name string) string {
	if name == tenantHeader {
		return "X-Tenant-Id" // every call has it
	}
	return http.CanonicalHeaderKey(name)
}

// InvalidQuery returns the ErrMalformed for a query parameter.
func InvalidQuery(name, message string) error {
	e := domain.New(domain.ErrMalformed, "invalid_query", "The query parameter "+name+" is not valid.")
	e.Fields = []domain.FieldError{{Pointer: name, Message: message}}
	return e
}
