package webhook

import (
	"context"
	"crypto/x509"
	"net"
	"syscall"
)

// NewClientTaking returns a Client with the product's guard, but for one
// address that it takes for public.
func NewClientTaking(o ClientOptions, public net.IP) *Client {
	if o.AllowLocal {
		return newLocalClient(o, taking(public, refusePrivateButLocal))
	}
	return newClient(o, taking(public, refusePrivate))
}

func taking(public net.IP, check guard) guard {
	return func(ctx context.Context, network, address string, conn syscall.RawConn) error {
		if host, _, err := net.SplitHostPort(address); err == nil && host == public.String() {
			return nil
		}
		return check(ctx, network, address, conn)
	}
}

// NewClientTelling returns a Client that may connect to every address and
// tells of each socket that it opens for that.
func NewClientTelling(o ClientOptions, opened func(syscall.RawConn)) *Client {
	return newClient(o, func(_ context.Context, _, _ string, conn syscall.RawConn) error {
		opened(conn)
		return nil
	})
}

// Trust lets the client take no other certificates than those signed by this
// one. Call it before the first request.
func (c *Client) Trust(authority *x509.Certificate) {
	roots := x509.NewCertPool()
	roots.AddCert(authority)
	c.dialer.tls.RootCAs = roots
}
