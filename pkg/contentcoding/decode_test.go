package contentcoding_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/contentcoding"
)

const most = 1 << 20

func pack(t *testing.T, body string, with func(io.Writer) io.WriteCloser) []byte {
	t.Helper()
	var packed bytes.Buffer
	w := with(&packed)
	_, err := io.WriteString(w, body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return packed.Bytes()
}

func gzipped(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }
func zlibbed(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) }
func deflated(w io.Writer) io.WriteCloser {
	raw, _ := flate.NewWriter(w, flate.BestCompression)
	return raw
}

func TestDecode(t *testing.T) {
	t.Parallel()
	const text = `{"n":1,"text":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}`
	gz, z, raw := pack(t, text, gzipped), pack(t, text, zlibbed), pack(t, text, deflated)
	full := strings.Repeat("a", most)
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, c := range map[string]struct {
		coding string
		body   []byte
		want   string
		fails  error
	}{
		"none":                     {"", []byte(text), text, nil},
		"identity":                 {"Identity", []byte(text), text, nil},
		"gzip":                     {"gzip", gz, text, nil},
		"gzip in upper case":       {" GZIP ", gz, text, nil},
		"x-gzip":                   {"x-gzip", gz, text, nil},
		"gzip and identity":        {"identity, gzip,", gz, text, nil},
		"two members":              {"gzip", join(gz, gz), text + text, nil},
		"nothing, packed":          {"gzip", pack(t, "", gzipped), "", nil},
		"zlib":                     {"deflate", z, text, nil},
		"raw deflate":              {"deflate", raw, text, nil},
		"as large as allowed":      {"gzip", pack(t, full, gzipped), full, nil},
		"one byte too large":       {"gzip", pack(t, full+"a", gzipped), "", contentcoding.ErrTooLarge},
		"too large in two members": {"gzip", join(pack(t, full, gzipped), pack(t, "a", gzipped)), "", contentcoding.ErrTooLarge},
		"zlib too large":           {"deflate", pack(t, full+"a", zlibbed), "", contentcoding.ErrTooLarge},
		"raw deflate too large":    {"deflate", pack(t, full+"a", deflated), "", contentcoding.ErrTooLarge},
		"many empty members":       {"gzip", bytes.Repeat(pack(t, "", gzipped), most/8), "", contentcoding.ErrTooLarge},
		"not packed":               {"gzip", []byte(text), "", contentcoding.ErrCorrupt},
		"not packed, deflate":      {"deflate", []byte(text), "", contentcoding.ErrCorrupt},
		"empty":                    {"gzip", nil, "", contentcoding.ErrCorrupt},
		"cut off":                  {"gzip", gz[:len(gz)-1], "", contentcoding.ErrCorrupt},
		"zlib cut off":             {"deflate", z[:len(z)-1], "", contentcoding.ErrCorrupt},
		"raw deflate cut off":      {"deflate", raw[:len(raw)-1], "", contentcoding.ErrCorrupt},
		"garbage behind gzip":      {"gzip", join(gz, []byte("x")), "", contentcoding.ErrCorrupt},
		"garbage behind zlib":      {"deflate", join(z, []byte("x")), "", contentcoding.ErrCorrupt},
		"garbage behind deflate":   {"deflate", join(raw, []byte("x")), "", contentcoding.ErrCorrupt},
		"wrong sum":                {"gzip", join(gz[:len(gz)-8], make([]byte, 8)), "", contentcoding.ErrCorrupt},
		"another coding":           {"br", []byte(text), "", contentcoding.ErrUnsupported},
		"a character set":          {"utf-8", []byte(text), "", contentcoding.ErrUnsupported},
		"gzip twice":               {"gzip, gzip", gz, "", contentcoding.ErrStacked},
		"two codings":              {"deflate,br", gz, "", contentcoding.ErrStacked},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := contentcoding.Decode(c.coding, c.body, most)
			require.ErrorIs(t, err, c.fails)
			require.Equal(t, c.want, string(got))
		})
	}
}

// A bomb takes no more memory than what may be kept of it.
func TestABombIsNotHeldInMemory(t *testing.T) {
	bomb := pack(t, strings.Repeat("\x00", 32*most), gzipped)
	require.Less(t, len(bomb), most)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := contentcoding.Decode("gzip", bomb, most)
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, contentcoding.ErrTooLarge)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16*most))
}
