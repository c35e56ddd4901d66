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
	if err != nil || !publicHost(u) {
		return problem
	}
	return ""
}

// CheckPublicOrLocal is CheckPublic for clients with ClientOptions.AllowLocal: a URL may
// name this machine, too.
func CheckPublicOrLocal(rawURL string) string {
	const problem = "must not lead to a private network"
	u, err := url.Parse(rawURL)
	if err != nil || !publicHost(u) && !namesThisMachine(u) {
		return problem
	}
	return ""
}

// publicHost reports whether a URL names no address, or a public one.
func publicHost(u *url.URL) bool {
	host := hostOf(u)
	if isLocalhost(host) {
		return false
	}
	address, err := netip.ParseAddr(host)
	return err != nil || public(address)
}

// namesThisMachine reports whether a URL itself says that it leads to this machine,
// without anybody being asked where its name leads.
func namesThisMachine(u *url.URL) bool {
	host := hostOf(u)
	address, err := netip.ParseAddr(host)
	return isLocalhost(host) || err == nil && loopback(address)
}

func hostOf(u *url.URL) string { return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) }

// isLocalhost is what RFC 6761 says of names.
func isLocalhost(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}
