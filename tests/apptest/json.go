package apptest

import (
	"bytes"
	"encoding/json"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
)

// RequireSameJSON ends the test unless both texts are the same JSON value, to
// the last digit of every number.
func RequireSameJSON(t testing.TB, want, got string) {
	t.Helper()
	require.Equal(t, decodeExactly(t, want), decodeExactly(t, got))
}

func decodeExactly(t testing.TB, text string) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	decoder.UseNumber()
	var value any
	require.NoError(t, decoder.Decode(&value), "%.500s", text)
	require.False(t, decoder.More())
	return exact(t, value)
}

// exact replaces numbers by fractions in lowest terms: 1e2 and 100.0 are the
// same.
func exact(t testing.TB, value any) any {
	t.Helper()
	switch v := value.(type) {
	case json.Number:
		fraction, ok := new(big.Rat).SetString(v.String())
		require.True(t, ok, v)
		return "number " + fraction.RatString()
	case []any:
		for i := range v {
			v[i] = exact(t, v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = exact(t, v[name])
		}
	}
	return value
}
