package middleware

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddressShare(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"10.1.2.3": "10.1.2.3", "::ffff:10.1.2.3": "::ffff:10.1.2.3", "2001:db8::1": "2001:db8::/64", "2001:db8::ffff:1:2:3": "2001:db8::/64",
		"fe80::1%eth0": "fe80::/64", "": "", "nonsense": "nonsense",
	} {
		require.Equal(t, want, addressShare(text), text)
	}
}
