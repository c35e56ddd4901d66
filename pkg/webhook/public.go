package webhook

import (
	"net/netip"
	"net/url"
	"strings"
)

// CheckPublic returns what is wrong with a URL that names an address which is not one
// of the public Internet, or "". Where a name leads is seen only when it is connected
// to.
func CheckPublic(rawURL string) string {
	const problem = "must not lead to a private network or to this machine"
	u, err := url.Parse(rawURL)
	if err != nil {
		return problem
	}
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761
		return problem
	}
	if address, err := netip.ParseAddr(host); err == nil && !public(address) {
		return problem
	}
	return ""
}
