package auth

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func fuzzedTokens() (verifying *tokens, header string) {
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	verifying = newTokens(Fixed(secretA), "lanekeeper", "lanekeeper", time.Hour, func() time.Time { return now })
	return verifying, fmt.Sprintf(`{"alg":"HS256","typ":"JWT","kid":%q}`, keyID(secretA))
}

// Whatever is sent as a token or a key, and is not signed, is refused as a token that
// does not count.
func FuzzToken(f *testing.F) {
	verifying, header := fuzzedTokens()
	claims := `{"iss":"lanekeeper","aud":"lanekeeper","sub":"0197a3a2-7d2c-7c3e-8f7e-0242ac120002","ver":0,"exp":1795000000}`
	for _, seed := range []string{
		"", "..", "e30.e30.", "Bearer x", "lk_", "lk_" + strings.Repeat("0", 104), signHS256(nil, header, claims), signHS256(secretB, header, claims),
		base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(header, "HS256", "none", 1))) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := verifying.verify(t.Context(), bearer(text))
		require.ErrorIs(t, err, domain.ErrUnauthenticated)
		id, hash, ok := parseAPIKey(text)
		require.Equal(t, ok, id != uuid.Nil && len(hash) == 32)
		require.True(t, !ok || isAPIKey(text))
	})
}

// Whatever is in a token that we have signed: it counts only with all that a token of
// ours has, and is refused as such otherwise.
func FuzzClaims(f *testing.F) {
	verifying, header := fuzzedTokens()
	const claims = `{"iss":"lanekeeper","aud":"lanekeeper","sub":"0197a3a2-7d2c-7c3e-8f7e-0242ac120002","ver":0,"exp":1795000000}`
	f.Add(header, claims)
	for _, seed := range []string{`{}`, `null`, `[]`, `{"exp":1e999}`, `{"exp":-1}`, strings.Replace(claims, "{", `{"exp":1,`, 1), strings.Replace(claims, `"ver":0`, `"ver":null`, 1), claims + claims} {
		f.Add(header, seed)
	}
	for _, seed := range []string{`{}`, `{"alg":"none"}`, strings.Replace(header, "HS256", "HS512", 1), strings.Replace(header, "{", `{"crit":["exp"],`, 1), `{"alg":{},"kid":[]}`} {
		f.Add(seed, claims)
	}
	f.Fuzz(func(t *testing.T, header, claims string) {
		got, err := verifying.verify(t.Context(), signHS256(secretA, header, claims))
		if err != nil {
			require.ErrorIs(t, err, domain.ErrUnauthenticated)
			return
		}
		require.True(t, got.expires.After(verifying.now().Add(-leeway)))
		for _, needed := range []string{"iss", "aud", "sub", "ver", "exp"} {
			require.Contains(t, unescaped(claims), needed)
		}
	})
}

// unescaped makes names that are written in escapes plain: those of ASCII.
func unescaped(text string) string {
	for c := 'a'; c <= 'z'; c++ {
		text = strings.NewReplacer(fmt.Sprintf(`\u%04x`, c), string(c), fmt.Sprintf(`\u%04X`, c), string(c)).Replace(text)
	}
	return text
}
