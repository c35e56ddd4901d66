package webhook

import (
	"fmt"
	"net/http"
	"strings"
)

// Limits of a header that a customer adds, in bytes.
const (
	maxHeaderName  = 200
	maxHeaderValue = 1000
)

// CheckHeader returns what is wrong with a header that a customer wants to have
// sent along, in words that go behind its name, or "". Names are tokens (RFC 9110),
// values what every server reads alike. Headers that HTTP or the service needs for
// itself are refused.
func CheckHeader(name, value string) string {
	switch {
	case !isToken(name):
		return "must have a name of letters, digits and hyphens, or other characters of a token"
	case len(name) > maxHeaderName:
		return fmt.Sprintf("must have a name of at most %d bytes", maxHeaderName)
	case ownedByClient(name), ownedByService(name):
		return "is set by the service"
	case len(value) > maxHeaderValue:
		return fmt.Sprintf("must have a value of at most %d bytes", maxHeaderValue)
	case !isPrintable(value):
		return "must have a value of printable ASCII characters, without spaces at its ends"
	}
	return ""
}

// isToken reports whether a name is a token of RFC 9110.
func isToken(name string) bool {
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return name != ""
}

func isPrintable(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return strings.Trim(value, " ") == value
}

// ownedByClient reports whether a header belongs to the connection, describes the
// body, or is one that Client sets.
func ownedByClient(name string) bool {
	name = http.CanonicalHeaderKey(name)
	switch name {
	case "Host", "Connection", "Keep-Alive", "Upgrade", "Te", "Trailer", "Expect", "Transfer-Encoding", "Http2-Settings",
		"Content-Length", "Content-Type", "Content-Encoding", "Content-Range", "Accept-Encoding",
		"User-Agent", "Idempotency-Key", "X-Idempotency-Key", "Cookie2":
		return true
	}
	return strings.HasPrefix(name, "Proxy-") || strings.HasPrefix(name, "Webhook-")
}

// ownedByService reports whether a header is one that the callers of Client add.
func ownedByService(name string) bool {
	name = http.CanonicalHeaderKey(name)
	return name == "Traceparent" || name == "Tracestate" || strings.HasPrefix(name, "Lanekeeper-")
}
