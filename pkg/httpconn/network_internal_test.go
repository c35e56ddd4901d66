package httpconn

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWhatCountsAsOneAddress(t *testing.T) {
	t.Parallel()
	of := func(text string) string { return network(&net.TCPAddr{IP: net.ParseIP(text)}).String() }
	require.Equal(t, "10.1.2.3", of("10.1.2.3"))
	require.Equal(t, "10.1.2.3", of("::ffff:10.1.2.3"))
	require.Equal(t, of("2001:db8::1"), of("2001:db8::ffff:1:2:3"))
	require.NotEqual(t, of("2001:db8::1"), of("2001:db8:0:1::1"))
	require.Equal(t, network(&net.UnixAddr{}), network(&net.UnixAddr{Name: "x"}))
}
