package server

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFirstAddress(t *testing.T) {
	t.Parallel()
	for want, addresses := range map[string][]string{
		"":           {"127.0.0.1/8", "::1/128", "fe80::1/64", "169.254.7.7/16"},
		"172.17.0.3": {"127.0.0.1/8", "172.17.0.3/16", "10.0.0.1/8", "2001:db8::3/64"},
		"fd00::2":    {"::1/128", "fe80::1/64", "fd00::2/64"},
	} {
		var all []net.Addr
		for _, text := range addresses {
			ip, network, err := net.ParseCIDR(text)
			require.NoError(t, err)
			all = append(all, &net.IPNet{IP: ip, Mask: network.Mask})
		}
		require.Equal(t, want, firstAddress(all))
	}
}

// A successor has the address of its predecessor, and processes that listen
// elsewhere have others.
func TestProcessAddress(t *testing.T) {
	t.Parallel()
	at := func(ip string, port int) string { return processAddress(&net.TCPAddr{IP: net.ParseIP(ip), Port: port}) }
	predecessor, successor := at("0.0.0.0", 8080), at("0.0.0.0", 8080)
	require.Equal(t, predecessor, successor)
	require.NotEqual(t, at("0.0.0.0", 8080), at("0.0.0.0", 8081))
	require.NotEqual(t, at("10.0.0.1", 8080), at("10.0.0.2", 8080))
}

func TestReachable(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		":80": "127.0.0.1:80", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "127.0.0.1:80",
		"10.0.0.1:80": "10.0.0.1:80", "[::1]:80": "[::1]:80", "[fe80::1%eth0]:80": "[fe80::1%eth0]:80", "localhost:80": "localhost:80",
	} {
		require.Equal(t, want, reachable(in))
	}
}
