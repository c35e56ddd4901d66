package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// signHS256 signs header and claims as they are.
func signHS256(secret []byte, header, claims string) string {
	text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// forgedTokens are tokens that must not count, by what is wrong with them. Most are
// signed with the right secret.
func forgedTokens(t *testing.T, b *bench, user domain.User) map[string]string {
	t.Helper()
	kid, now := keyID(secretA), b.clock.Now()
	header := fmt.Sprintf(`{"alg":"HS256","typ":"JWT","kid":%q}`, kid)
	claims := fmt.Sprintf(`{"iss":"lanekeeper","aud":"lanekeeper","sub":%q,"ver":0,"exp":%d}`, user.ID, now.Add(time.Hour).Unix())
	good := signHS256(secretA, header, claims)
	_, err := b.Authenticate(t.Context(), good)
	require.NoError(t, err)
	parts := strings.Split(good, ".")

	forged := map[string]string{
		"empty": "", "dots": "..", "64 KiB of dots": strings.Repeat(".", 64<<10), "64 KiB of parts": strings.Repeat("e30.", 16<<10),
		"no signature": parts[0] + "." + parts[1] + ".", "signature of another": parts[0] + "." + parts[1] + "." + strings.Split(signHS256(secretB, header, claims), ".")[2],
		"two of them": good + " " + good, "signed with nothing": signHS256(nil, header, claims),
		"signed with the kid": signHS256([]byte(kid), header, claims),
	}
	for _, alg := range []string{"none", "None", "NONE", "nOnE", "", "HS384", "HS512", "hs256", "RS256", "ES256", "PS256", "EdDSA", "HS256 ", "dir"} {
		text := strings.Replace(header, `"HS256"`, fmt.Sprintf("%q", alg), 1)
		forged["alg "+alg] = signHS256(secretA, text, claims)
		forged["unsigned alg "+alg] = base64.RawURLEncoding.EncodeToString([]byte(text)) + "." + parts[1] + "."
	}
	for name, text := range map[string]string{"no alg": `{"kid":"` + kid + `"}`, "alg null": `{"alg":null,"kid":"` + kid + `"}`, "alg array": `{"alg":["HS256"],"kid":"` + kid + `"}`} {
		forged[name] = signHS256(secretA, text, claims)
	}
	for _, value := range []string{
		`"../../../../dev/null"`, `"/dev/null"`, `"x' UNION SELECT 'secret"`, `"' OR '1'='1"`, `"1; DROP TABLE users"`, `"` + kid + `\u0000"`, `"` + strings.ToUpper(kid) + `"`,
		`null`, `0`, `["` + kid + `"]`, `{"a":1}`, `""`, `"http://127.0.0.1/key"`,
	} {
		text := strings.Replace(header, fmt.Sprintf("%q", kid), value, 1)
		for name, secret := range map[string][]byte{"": secretA, " and an empty secret": {}, " and its own": []byte("secret")} {
			forged["kid "+value+name] = signHS256(secret, text, claims)
		}
	}
	for name, more := range map[string]string{
		"crit": `"crit":["exp"]`, "crit of ours": `"crit":["kid"]`, "b64": `"b64":false,"crit":["b64"]`, "alg again": `"alg":"none"`, "kid again": `"kid":"x"`,
	} {
		forged["header with "+name] = signHS256(secretA, strings.Replace(header, "{", "{"+more+",", 1), claims)
	}
	for _, name := range []string{"iss", "aud", "sub", "ver", "exp"} {
		start := strings.Index(claims, `"`+name+`":`)
		end := start + strings.IndexAny(claims[start:], ",}")
		forged["no "+name] = signHS256(secretA, header, strings.NewReplacer(",,", ",", "{,", "{", ",}", "}").Replace(claims[:start]+claims[end:]))
		for _, value := range []string{`null`, `true`, `"x"`, `[]`, `{}`, `-1`, `1e999`, `""`, `["x"]`, `"lanekeeper "`, `0.5`, `99999999999999999999`} {
			if name == "exp" && value == "99999999999999999999" {
				continue // it is valid for long
			}
			forged[name+" "+value] = signHS256(secretA, header, claims[:start]+`"`+name+`":`+value+claims[end:])
		}
		forged[name+" twice"] = signHS256(secretA, header, strings.Replace(claims, "{", "{"+claims[start:end]+",", 1))
	}
	for name, more := range map[string]string{
		"not yet": fmt.Sprintf(`"nbf":%d`, now.Add(time.Minute).Unix()), "nbf text": `"nbf":"x"`, "issued later": fmt.Sprintf(`"iat":%d`, now.Add(time.Minute).Unix()),
		"nbf far away": `"nbf":1e15`, "nbf twice": `"nbf":0,"nbf":0`, "Exp": `"Exp":99999999999`, "ver escaped": `"v\u0065r":7`,
	} {
		forged[name] = signHS256(secretA, header, strings.Replace(claims, "{", "{"+more+",", 1))
	}
	maps.Copy(forged, otherKeys(t, kid, claims))
	return forged
}

// otherKeys are tokens that bring the key they are signed with, or count on the
// secret being taken for a key of another kind.
func otherKeys(t *testing.T, kid, claims string) map[string]string {
	t.Helper()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	signed := make(map[string]string)
	for _, k := range []struct {
		method jwt.SigningMethod
		key    any
	}{{jwt.SigningMethodRS256, rsaKey}, {jwt.SigningMethodPS256, rsaKey}, {jwt.SigningMethodES256, ecKey}, {jwt.SigningMethodEdDSA, edKey}} {
		header := fmt.Sprintf(`{"alg":%q,"kid":%q,"jku":"http://127.0.0.1/keys","jwk":{"kty":"oct","k":"AAAA"}}`, k.method.Alg(), kid)
		text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
		signature, err := k.method.Sign(text, k.key)
		require.NoError(t, err)
		signed["a key of its own, "+k.method.Alg()] = text + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	signed["jwk"] = signHS256([]byte{0, 0, 0}, fmt.Sprintf(`{"alg":"HS256","kid":%q,"jwk":{"kty":"oct","k":"AAAA"}}`, kid), claims)
	return signed
}

// Whatever somebody makes up is refused, and refusing it takes neither much memory nor
// many steps.
func TestForgedTokensCostLittle(t *testing.T) { //nolint:paralleltest // it measures
	b := newBench(t)
	user := b.addUser(t, "ada@example.com")
	forged := forgedTokens(t, b, user)
	require.Greater(t, len(forged), 150)
	for _, name := range slices.Sorted(maps.Keys(forged)) {
		token := forged[name]
		p, err := b.Authenticate(t.Context(), token)
		require.ErrorIs(t, err, domain.ErrUnauthenticated, name)
		require.Zero(t, p, name)
		allocations := testing.AllocsPerRun(5, func() { _, _ = b.Authenticate(t.Context(), token) })
		require.Less(t, allocations, 250.0, name)
		if strings.Contains(name, "64 KiB") {
			require.Less(t, allocations, 5.0, name)
		}
	}
}
