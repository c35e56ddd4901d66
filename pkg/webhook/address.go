package webhook

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
)

// errAddress: the URL leads to where the service must not be sent.
var errAddress = errors.New("the address is not allowed")

// refusePrivate is a net.Dialer.ControlContext: it is called with each address
// that is about to be connected to, and refuses what is not public.
func refusePrivate(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil || !public(to.Addr()) {
		return errAddress
	}
	return nil
}

// localKey is where the context of a request whose URL names this machine says so.
type localKey struct{}

// refusePrivateButLocal is refusePrivate, but for requests whose URL names this machine.
// A name that leads here, and a redirect from elsewhere, are refused as ever.
func refusePrivateButLocal(ctx context.Context, network, address string, conn syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err == nil && loopback(to.Addr()) && ctx.Value(localKey{}) != nil {
		return nil
	}
	return refusePrivate(ctx, network, address, conn)
}

// loopback reports whether an address is this machine's own.
func loopback(a netip.Addr) bool { return a.Zone() == "" && a.Unmap().IsLoopback() }

// public reports whether an address is one of the public Internet. Of IPv6 only
// the range that is given out for global unicast is, and not what in it leads
// on to IPv4.
func public(a netip.Addr) bool {
	if a.Zone() != "" {
		return false
	}
	a = a.Unmap() // ::ffff:127.0.0.1 is 127.0.0.1
	if a.Is6() && !within(a, "2000::/3") {
		return false
	}
	return !within(a, reserved()...)
}

// reserved returns the ranges of the IANA registries of special-purpose
// addresses (RFC 6890) that are nobody on the Internet; of IPv6, those
// within 2000::/3.
func reserved() []string {
	return []string{
		"0.0.0.0/8",        // this network
		"10.0.0.0/8",       // private
		"100.64.0.0/10",    // shared by carriers for NAT; some clouds' metadata
		"127.0.0.0/8",      // loopback
		"168.63.129.16/32", // Azure's services for its machines
		"169.254.0.0/16",   // link-local; most clouds' metadata
		"172.16.0.0/12",    // private
		"192.0.0.0/24",     // protocol assignments; a cloud's metadata
		"192.0.2.0/24",     // documentation
		"192.88.99.0/24",   // relays from 6to4
		"192.168.0.0/16",   // private
		"198.18.0.0/15",    // benchmarks
		"198.51.100.0/24",  // documentation
		"203.0.113.0/24",   // documentation
		"224.0.0.0/4",      // multicast
		"240.0.0.0/4",      // reserved, and broadcast

		"2001::/23",     // protocol assignments, Teredo among them
		"2001:db8::/32", // documentation
		"2002::/16",     // 6to4
		"3fff::/20",     // documentation
	}
}

func within(a netip.Addr, prefixes ...string) bool {
	for _, p := range prefixes {
		if netip.MustParsePrefix(p).Contains(a) {
			return true
		}
	}
	return false
}
