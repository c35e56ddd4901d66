package console

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"
)

func get(h http.Handler, target string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
	r.URL.Path = target // as it was sent: nothing cleans it before
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		r.Header.Add(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func newTestHandler(t *testing.T, o Options) *Handler {
	t.Helper()
	h, err := NewHandler(o)
	require.NoError(t, err)
	return h
}

// Addresses of pages answer with the index, those of files with the file, and nothing
// else answers.
func TestPaths(t *testing.T) {
	t.Parallel()
	h := newTestHandler(t, Options{})
	for target, want := range map[string]string{
		"/console/":                                          index,
		"/console/tenants":                                   index,
		"/console/tenants/":                                  index,
		"/console/tenants/ext:a.b/usage":                     index,
		"/console/nowhere":                                   index,
		"/console/assets":                                    index,
		"/console/assets/" + h.release + "/app.js":           "app.js",
		"/console/assets/" + h.release + "/parts/table.js":   "parts/table.js",
		"/console/assets/" + h.release + "/vendor/preact.js": "vendor/preact.js",
		"/console/assets/another/app.js":                     "app.js",
		"/console/assets/" + h.release + "/":                 "",
		"/console/assets/" + h.release + "/parts":            "",
		"/console/assets/" + h.release + "/index.html":       "",
		"/console/assets/" + h.release + "/types/api.d.ts":   "",
		"/console/assets/" + h.release + "/../console.go":    "",
		"/console/assets/" + h.release + "/parts/../app.js":  "",
		"/console/app.js":                                    "",
		"/console/favicon.ico":                               "",
		"/console/../":                                       "",
		"/console/../tenants":                                "",
		"/console/..":                                        "",
		"/console/./tenants":                                 "",
		"/console//etc/passwd":                               "",
		"/console/tenants/../../etc":                         "",
		"/console/..\\..\\console.go":                        index, // an id like others
	} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			got := get(h, target)
			text := got.Body.String()
			if want == "" {
				require.Equal(t, http.StatusNotFound, got.Code)
				require.Empty(t, text)
				return
			}
			require.Equal(t, http.StatusOK, got.Code)
			content, err := fs.ReadFile(static, "static/"+want)
			require.NoError(t, err)
			require.Equal(t, strings.ReplaceAll(string(content), releasePlace, h.release), text)
		})
	}
}

// Browsers ask for the page each time, and for each file once and for all.
func TestCaching(t *testing.T) {
	t.Parallel()
	h := newTestHandler(t, Options{})
	script := "/console/assets/" + h.release + "/app.js"
	for target, want := range map[string]string{
		"/console/":                      "no-cache",
		script:                           "public, max-age=31536000, immutable",
		"/console/assets/another/app.js": "no-cache",
	} {
		plain := get(h, target)
		require.Equal(t, want, plain.Header().Get("Cache-Control"), target)
		require.Equal(t, "Accept-Encoding", plain.Header().Get("Vary"))
		packed := get(h, target, "Accept-Encoding: br, gzip;q=0.8")
		require.Equal(t, "gzip", packed.Header().Get("Content-Encoding"))
		require.NotEqual(t, plain.Header().Get("ETag"), packed.Header().Get("ETag"))
		reader, err := gzip.NewReader(packed.Body)
		require.NoError(t, err)
		unpacked, err := io.ReadAll(reader)
		require.NoError(t, err)
		require.Equal(t, plain.Body.String(), string(unpacked))

		again := get(h, target, `If-None-Match: "other", `+plain.Header().Get("ETag"))
		require.Equal(t, http.StatusNotModified, again.Code)
		require.Empty(t, again.Body.String())
		require.NotEmpty(t, again.Header().Get("Content-Security-Policy"))
		require.Equal(t, http.StatusOK, get(h, target, `If-None-Match: "other"`).Code)
	}
	for _, refused := range []string{"", "identity", "gzip;q=0", "gzip; q=0.0", "br"} {
		require.Empty(t, get(h, script, "Accept-Encoding: "+refused).Header().Get("Content-Encoding"), refused)
	}
	for _, taken := range []string{"gzip", "GZIP", "gzip;q=0.1", "br, gzip", "gzip;q=1.0"} {
		require.Equal(t, "gzip", get(h, script, "Accept-Encoding: "+taken).Header().Get("Content-Encoding"), taken)
	}
}

// A change of any file changes the address of all.
func TestRelease(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"index.html": {Data: []byte("{release}")}, "app.js": {Data: []byte("1")}}
	before, err := newHandler(files, Options{})
	require.NoError(t, err)
	require.Equal(t, before.release, get(before, Root).Body.String())
	files["app.js"] = &fstest.MapFile{Data: []byte("2")}
	after, err := newHandler(files, Options{})
	require.NoError(t, err)
	require.NotEqual(t, before.release, after.release)
	delete(files, "index.html")
	_, err = newHandler(files, Options{})
	require.Error(t, err)
}

// Nobody frames the console, but for those that are named.
func TestFraming(t *testing.T) {
	t.Parallel()
	alone := get(newTestHandler(t, Options{}), Root).Header()
	require.Contains(t, alone.Get("Content-Security-Policy"), "frame-ancestors 'none';")
	require.Equal(t, "DENY", alone.Get("X-Frame-Options"))
	framed := get(newTestHandler(t, Options{FrameAncestors: []string{"https://a.example", "https://b.example"}}), Root).Header()
	require.Contains(t, framed.Get("Content-Security-Policy"), "frame-ancestors https://a.example https://b.example;")
	require.Empty(t, framed.Get("X-Frame-Options"))
	for _, header := range []http.Header{alone, framed} {
		policy := header.Get("Content-Security-Policy")
		require.NotContains(t, policy, "unsafe")
		require.NotContains(t, policy, "http:")
		require.Contains(t, policy, "default-src 'none'; script-src 'self'; style-src 'self';")
		require.Equal(t, "nosniff", header.Get("X-Content-Type-Options"))
	}
}

// HEAD answers as GET does, without the body.
func TestHead(t *testing.T) {
	t.Parallel()
	w := httptest.NewRecorder()
	newTestHandler(t, Options{}).ServeHTTP(w, httptest.NewRequest(http.MethodHead, "/console/", http.NoBody))
	require.Equal(t, http.StatusOK, w.Code)
	require.Empty(t, w.Body.String())
	require.NotEqual(t, "0", w.Header().Get("Content-Length"))
}

// Libraries are what the script wrote: nobody changed one by hand.
func TestVendored(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("static/vendor/VERSIONS")
	require.NoError(t, err)
	licences, err := os.ReadFile("static/vendor/LICENSES.txt")
	require.NoError(t, err)
	listed := make(map[string]bool)
	lines := bufio.NewScanner(bytes.NewReader(list))
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		fields := strings.Fields(lines.Text())
		require.Len(t, fields, 4, lines.Text())
		file, from, licence, sum := fields[0], fields[1], fields[2], fields[3]
		content, err := os.ReadFile(filepath.Join("static/vendor", file))
		require.NoError(t, err)
		actual := sha256.Sum256(content)
		require.Equal(t, sum, hex.EncodeToString(actual[:]), "%s is not as scripts/vendor-console.sh wrote it", file)
		require.Contains(t, string(licences), from)
		require.NotEmpty(t, licence)
		listed[file] = true
	}
	require.NoError(t, lines.Err())
	scripts, err := filepath.Glob("static/vendor/*.[jc]s*")
	require.NoError(t, err)
	for _, file := range scripts {
		require.True(t, listed[filepath.Base(file)], "%s is not in VERSIONS", file)
	}
}

// The rules of the console's own sources: checked, short, nothing inline, nothing from
// elsewhere, and each import is there.
func TestSources(t *testing.T) {
	t.Parallel()
	imports := regexp.MustCompile(`(?:from|import)\s*\(?\s*"(\.[^"\n]+)"`) // all are relative
	err := fs.WalkDir(static, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.Contains(name, "/vendor/") {
			return err
		}
		content, err := fs.ReadFile(static, name)
		if err != nil {
			return err
		}
		text := string(content)
		if name != "static/icon.svg" { // which names the namespace of SVG
			require.NotRegexp(t, `https?://`, text, name)
		}
		switch path.Ext(name) {
		case ".html":
			require.NotRegexp(t, `(?i)\sstyle=|\son[a-z]+=|<script>|<style`, text, name)
		case ".js":
			require.True(t, strings.HasPrefix(text, "// @ts-check\n"), name)
			require.Less(t, strings.Count(text, "\n"), 300, name)
			require.NotRegexp(t, `dangerouslySetInnerHTML|innerHTML|\beval\(|new Function|style="`, text, name)
			if name != "static/api.js" {
				require.NotRegexp(t, `\bfetch\(|XMLHttpRequest|EventSource\(|WebSocket`, text, name)
			}
			for _, match := range imports.FindAllStringSubmatch(text, -1) {
				if strings.Contains(match[1], "/types/") { // for checking only
					continue
				}
				_, err := fs.Stat(static, path.Join(path.Dir(name), match[1]))
				require.NoError(t, err, "%s imports %s", name, match[1])
			}
		}
		return nil
	})
	require.NoError(t, err)
}

// The index names all modules that the first one needs, so that browsers ask for them at
// once, and no others.
func TestPreloads(t *testing.T) {
	t.Parallel()
	imports := regexp.MustCompile(`(?m)^(?:import|export) .*?from "([^"]+)"|^import "([^"]+)"`)
	needed := map[string]bool{}
	var need func(name string)
	need = func(name string) {
		if needed[name] {
			return
		}
		needed[name] = true
		content, err := fs.ReadFile(static, "static/"+name)
		require.NoError(t, err)
		for _, match := range imports.FindAllStringSubmatch(string(content), -1) {
			need(path.Join(path.Dir(name), match[1]+match[2]))
		}
	}
	need("app.js")
	content, err := fs.ReadFile(static, "static/"+index)
	require.NoError(t, err)
	named := map[string]bool{}
	for _, match := range regexp.MustCompile(`modulepreload" href="/console/assets/\{release\}/([^"]+)"`).FindAllStringSubmatch(string(content), -1) {
		named[match[1]] = true
	}
	require.Equal(t, needed, named)
}
