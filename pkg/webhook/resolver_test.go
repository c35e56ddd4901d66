package webhook_test

import (
	"context"
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// resolver asks a DNS server in this process.
type resolver struct {
	*net.Resolver
	questions atomic.Int32
}

// newResolver starts the server. Answer is called with the number of the
// question for an IPv4 address, and returns it, or nil for a name that does
// not exist.
func newResolver(t *testing.T, answer func(n int) net.IP) *resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	r := &resolver{}
	r.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		packet := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(packet)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(r.reply(packet[:n], answer), from)
		}
	}()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		<-done
	})
	return r
}

// reply answers a query (RFC 1035): its header and question, and an address if
// it asks for IPv4.
func (r *resolver) reply(query []byte, answer func(n int) net.IP) []byte {
	const typeA = 1
	end := 12
	for query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5 // the root label, type and class
	kind := binary.BigEndian.Uint16(query[end-4:])
	out := append([]byte(nil), query[:end]...)
	out[2], out[3] = 0x84, 0 // an authoritative answer
	clear(out[6:12])
	if kind != typeA {
		return out
	}
	ip := answer(int(r.questions.Add(1))).To4()
	if ip == nil {
		out[3] = 3 // no such name
		return out
	}
	out[7] = 1 // one answer
	out = append(out, 0xc0, 12, 0, typeA, 0, 1, 0, 0, 0, 0, 0, 4)
	return append(out, ip...)
}
