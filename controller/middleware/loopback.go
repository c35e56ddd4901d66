package middleware

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/gin-gonic/gin"

	"lanekeeper/domain"
)

// LoopbackOnly guards open mode, in which every caller is admin, against web
// pages in the operator's browser: the Host must be a name of this machine
// (else a page could reach it by DNS rebinding), and a request that changes
// something must not come from a page of another origin.
func LoopbackOnly() gin.HandlerFunc {
	origins := http.NewCrossOriginProtection()
	return func(c *gin.Context) {
		if !isLoopback(c.Request.Host) {
			Fail(c, domain.New(domain.ErrForbidden, "host_not_allowed", "Without a jwt_secret only requests to localhost are answered."))
			return
		}
		if err := origins.Check(c.Request); err != nil {
			Fail(c, domain.Wrap(err, domain.ErrForbidden, "origin_not_allowed", "Without a jwt_secret web pages of other origins are refused."))
		}
	}
}

// isLoopback reports whether hostport, as in the header Host, names this
// machine.
func isLoopback(hostport string) bool {
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
