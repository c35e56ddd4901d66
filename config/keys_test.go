package config

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEncryptionKeys(t *testing.T) {
	t.Parallel()
	want := make([]byte, 32)
	for i := range want {
		want[i] = byte(i * 251)
	}
	c := Default()
	keys, err := c.EncryptionKeyBytes()
	require.NoError(t, err)
	require.Empty(t, keys)
	c.EncryptionKeys = []string{
		hex.EncodeToString(want), strings.ToUpper(hex.EncodeToString(want)),
		base64.StdEncoding.EncodeToString(want), base64.RawStdEncoding.EncodeToString(want),
		base64.URLEncoding.EncodeToString(want), base64.RawURLEncoding.EncodeToString(want),
	}
	require.NoError(t, c.Validate())
	keys, err = c.EncryptionKeyBytes()
	require.NoError(t, err)
	require.Len(t, keys, 6)
	for _, key := range keys {
		require.Equal(t, want, key)
	}
	require.NotContains(t, c.String(), c.EncryptionKeys[0])
	require.NotContains(t, c.String(), c.EncryptionKeys[2])
	require.Equal(t, hex.EncodeToString(want), c.EncryptionKeys[0], "what is printed is another list")

	for _, wrong := range []string{
		"", "secret", strings.Repeat("a", 32), hex.EncodeToString(want[1:]), hex.EncodeToString(append(want, 1)),
		base64.StdEncoding.EncodeToString(want[1:]), strings.Repeat("ä", 32),
	} {
		c.EncryptionKeys = []string{hex.EncodeToString(want), wrong}
		err := c.Validate()
		require.ErrorContains(t, err, "encryption_keys (ENCRYPTION_KEYS) must list keys of 32 bytes")
		if wrong != "" {
			require.NotContains(t, err.Error(), wrong)
		}
	}
}
