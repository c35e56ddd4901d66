package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Tokens that one reader may take for something else than another are refused,
// however well they are signed (RFC 7515 sections 4 and 4.1.11, RFC 7519
// section 4, RFC 8725 section 2).
func TestAmbiguousTokens(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	user := b.addUser(t, "ada@example.com")
	header := fmt.Sprintf(`"alg":"HS256","typ":"JWT","kid":%q`, keyID(secretA))
	claims := fmt.Sprintf(`"iss":"lanekeeper","aud":"lanekeeper","sub":%q,"ver":0,"exp":%d`, user.ID, b.clock.Now().Add(time.Hour).Unix())
	signRaw := func(header, claims string) string {
		text := base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
		mac := hmac.New(sha256.New, secretA)
		mac.Write([]byte(text))
		return text + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
	}
	sign := func(moreHeader, moreClaims string) string {
		return signRaw("{"+header+moreHeader+"}", "{"+claims+moreClaims+"}")
	}
	for name, token := range map[string]string{
		"plain":        sign("", ""),
		"white space":  signRaw(" {"+header+"} \n", "\t{"+claims+"}"),
		"more":         sign(`,"cty":"x","x":{"a":[1,{"b":null}]}`, `,"x":{"sub":1,"a":{"sub":2}},"y":[{"a":1},{"a":2}]`),
		"array of one": signRaw("{"+header+"}", "{"+strings.Replace(claims, `"lanekeeper","sub"`, `["lanekeeper"],"sub"`, 1)+"}"),
	} {
		_, err := b.Authenticate(t.Context(), token)
		require.NoError(t, err, name)
	}
	plain := sign("", "")
	for name, token := range map[string]string{
		"crit":                       sign(`,"crit":["exp"]`, ""),
		"crit of something":          sign(`,"crit":["http://example.com/x"],"http://example.com/x":true`, ""),
		"empty crit":                 sign(`,"crit":[]`, ""),
		"crit that is null":          sign(`,"crit":null`, ""),
		"crit written otherwise":     sign(`,"\u0063rit":["b64"],"b64":false`, ""),
		"b64":                        sign(`,"b64":false`, ""),
		"alg twice":                  sign(`,"alg":"HS256"`, ""),
		"none, then alg":             signRaw(`{"alg":"none",`+header+`}`, "{"+claims+"}"),
		"kid twice":                  sign(fmt.Sprintf(`,"kid":%q`, keyID(secretB)), ""),
		"kid twice, escaped":         sign(fmt.Sprintf(`,"k\u0069d":%q`, keyID(secretA)), ""),
		"sub twice":                  sign("", fmt.Sprintf(`,"sub":%q`, user.ID)),
		"sub in capitals":            sign("", fmt.Sprintf(`,"SUB":%q`, user.ID)),
		"sub with a long s":          sign("", fmt.Sprintf(`,"ſub":%q`, user.ID)),
		"only a sub in capitals":     signRaw("{"+header+"}", strings.Replace("{"+claims+"}", `"sub"`, `"Sub"`, 1)),
		"exp twice":                  sign("", `,"exp":99999999999`),
		"ver twice, escaped":         sign("", `,"v\u0065r":0`),
		"unknown claim twice":        sign("", `,"x":1,"x":1`),
		"claim twice further inside": sign("", `,"x":[{"a":1,"a":2}]`),
		"nested":                     sign("", `,"x":`+strings.Repeat("[", 40)+strings.Repeat("]", 40)),
		"nested header":              sign(`,"x":`+strings.Repeat(`{"a":`, 40)+"1"+strings.Repeat("}", 40), ""),
		"more after the claims":      signRaw("{"+header+"}", "{"+claims+"}{}"),
		"more after the header":      signRaw("{"+header+"} 1", "{"+claims+"}"),
		"claims that are an array":   signRaw("{"+header+"}", "[{"+claims+"}]"),
		"header that is null":        signRaw("null", "{"+claims+"}"),
		"claims that are null":       signRaw("{"+header+"}", "null"),
		"claims that are cut":        signRaw("{"+header+"}", "{"+claims),
		"text that is not UTF-8":     sign("", `,"x":"`+"\xff"+`"`),
		"four parts":                 plain + ".",
		"padding":                    plain + "=",
		"bits that say nothing":      plain[:len(plain)-1] + string(looser(plain[len(plain)-1])),
		"line break":                 plain[:10] + "\n" + plain[10:],
		"long":                       sign("", `,"x":"`+strings.Repeat("a", maxTokenLength)+`"`),
	} {
		_, err := b.Authenticate(t.Context(), token)
		require.ErrorIs(t, err, domain.ErrUnauthenticated, name)
	}
}

// looser returns another character that stands for the same bits where two of
// its bits say nothing, as at the end of 32 bytes in base64.
func looser(c byte) byte {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return alphabet[strings.IndexByte(alphabet, c)^1]
}

// What nobody has signed costs little to refuse.
func TestHostileTokensCostLittle(t *testing.T) { //nolint:paralleltest // it measures
	b := newBench(t)
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for name, token := range map[string]string{
		"nested":     part(`{"a":`+strings.Repeat("[", 2000)) + "." + part("{}") + ".AAAA",
		"many keys":  part("{"+strings.Repeat(`"a":1,`, 400)+`"b":1}`) + "." + part("{}") + ".AAAA",
		"other keys": part("{"+manyKeys(300)+"}") + "." + part("{}") + ".AAAA",
		"huge":       strings.Repeat("e30.", 1<<20),
		"dots":       strings.Repeat(".", maxTokenLength),
		"number":     part(`{"alg":1e999999999}`) + "." + part("{}") + ".AAAA",
	} {
		const runs = 50
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			_, err := b.Authenticate(t.Context(), token)
			require.ErrorIs(t, err, domain.ErrUnauthenticated)
		}
		runtime.ReadMemStats(&after)
		require.Less(t, (after.TotalAlloc-before.TotalAlloc)/runs, uint64(32<<10), name)
	}
}

func manyKeys(n int) string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf(`"%d":1`, i)
	}
	return strings.Join(keys, ",")
}
