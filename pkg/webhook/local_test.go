package webhook_test

import (
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/webhook"
)

// A client that may send to this machine sends there when a URL says so, and not when a
// name turns out to lead here; private networks stay out of its reach.
func TestLocalAddressesMayBeAllowed(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	server := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	port := mustURL(t, server.URL).Port()
	resolver := newResolver(t, func(int) net.IP { return net.IPv4(127, 0, 0, 1) })
	client := newClient(t, webhook.ClientOptions{AllowLocal: true, Resolver: resolver.Resolver})
	for n, host := range []string{"127.0.0.1", "[::ffff:127.0.0.1]", "a.localhost"} {
		require.NoError(t, client.Send(t.Context(), request("http://"+host+":"+port)).Err, host)
		require.EqualValues(t, n+1, hits.Load())
	}
	for _, host := range []string{"rebinding.example", "10.0.0.1", "169.254.169.254", "192.168.1.1", "0.0.0.0", "[::]"} {
		require.EqualError(t, client.Send(t.Context(), request("http://"+host+":"+port)).Err, "the address is not allowed", host)
	}
	require.EqualValues(t, 3, hits.Load())
}

// Nobody elsewhere can send a message here by a redirect, not even over a connection
// that is open already; what is here may send it on to elsewhere on this machine.
func TestRedirectsToThisMachine(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	inside := serve(t, func(http.ResponseWriter, *http.Request) { hits.Add(1) })
	outside := net.IPv4(127, 0, 0, 2)
	public := serveAt(t, outside, http.RedirectHandler(inside.URL, http.StatusTemporaryRedirect))
	local := serve(t, http.RedirectHandler(inside.URL, http.StatusTemporaryRedirect).ServeHTTP)
	resolver := newResolver(t, func(int) net.IP { return outside })
	client := webhook.NewClientTaking(webhook.ClientOptions{AllowLocal: true, Resolver: resolver.Resolver}, outside)
	t.Cleanup(client.Close)

	require.NoError(t, client.Send(t.Context(), request(local.URL)).Err)
	require.EqualValues(t, 1, hits.Load())
	elsewhere := request("http://public.example:" + mustURL(t, public.URL).Port())
	require.EqualError(t, client.Send(t.Context(), elsewhere).Err, "the address is not allowed")
	require.EqualValues(t, 1, hits.Load())
}
