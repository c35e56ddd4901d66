package transmit

import (
	"context"
	"net"
	"syscall"
)

// NewClientTaking returns a Client with the product's guard, but for one
// address that it takes for public.
func NewClientTaking(o ClientOptions, public net.IP) *Client {
	return newClient(o, func(ctx context.Context, network, address string, conn syscall.RawConn) error {
		if host, _, err := net.SplitHostPort(address); err == nil && host == public.String() {
			return nil
		}
		return refusePrivate(ctx, network, address, conn)
	})
}
