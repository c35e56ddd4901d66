package middleware

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
)

// LoopbackOnly guards open mode, in which every caller is admin. A connection
// must come from this machine, or from one of peers: whoever else can connect may
// send any Host. Against web pages in the operator's browser, the Host must be a
// name of this machine (else a page could reach it by DNS rebinding), and a request
// that changes something must not come from a page of another origin.
func LoopbackOnly(peers []netip.Prefix) gin.HandlerFunc {
	origins := http.NewCrossOriginProtection()
	return func(c *gin.Context) {
		if !isPeer(c.Request.RemoteAddr, peers) {
			Fail(c, domain.New(domain.ErrForbidden, "peer_not_allowed", "Without a jwt_secret only connections from this machine, and from open_mode_peers, are answered."))
			return
		}
		if !IsLoopback(c.Request.Host) {
			Fail(c, domain.New(domain.ErrForbidden, "host_not_allowed", "Without a jwt_secret only requests to localhost are answered."))
			return
		}
		if err := origins.Check(c.Request); err != nil {
			Fail(c, domain.Wrap(err, domain.ErrForbidden, "origin_not_allowed", "Without a jwt_secret web pages of other origins are refused."))
		}
	}
}

// isPeer reports whether the other end of a connection, which no header can
// change, is on this machine or one of peers.
func isPeer(remote string, peers []netip.Prefix) bool {
	end, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	addr := end.Addr().WithZone("").Unmap()
	return addr.IsLoopback() || slices.ContainsFunc(peers, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// IsLoopback reports whether hostport, as in the header Host, names this
// machine.
func IsLoopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	} else if inner, ok := strings.CutPrefix(hostport, "["); ok {
		host = strings.TrimSuffix(inner, "]")
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" && addr.Unmap().IsLoopback()
}
