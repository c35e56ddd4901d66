package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/gzip"

	"lanekeeper/pkg/contentcoding"
)

//go:embed static/*.html static/*.css static/*.js static/*.svg
//go:embed static/parts/*.js static/parts/*/*.js static/pages/*.js
//go:embed static/vendor/*.js static/vendor/*.css static/vendor/*.txt
var static embed.FS

// Root is the path below which the console is.
const Root = "/console/"

const (
	// assets is where the files are that pages load, behind the release that they
	// belong to: each is the same for ever.
	assets = "assets/"
	// index is the page that all addresses of the console answer with.
	index = "index.html"
	// releasePlace stands in the index for the release.
	releasePlace = "{release}"
)

// Options is how the console is served. The zero value is for one that nobody frames.
type Options struct {
	// FrameAncestors are the sources, as Content-Security-Policy has them, of pages that
	// may show the console in a frame; empty for none.
	FrameAncestors []string
}

// Handler serves the console. It answers GET and HEAD of paths below Root, and 404
// without a body for what is not there. It is safe for concurrent use.
type Handler struct {
	policy  string
	framed  bool
	release string
	files   map[string]*file
}

// file is what is answered for a path, as it is and compressed, which it is when it is
// first asked for: together they take 50 ms, which no start should.
type file struct {
	contentType string
	plain       representation
	packed      func() representation
}

type representation struct {
	body []byte
	tag  string
}

// NewHandler returns a Handler of the embedded files.
func NewHandler(o Options) (*Handler, error) {
	root, err := fs.Sub(static, "static")
	if err != nil {
		return nil, fmt.Errorf("open the files of the console: %w", err)
	}
	return newHandler(root, o)
}

func newHandler(root fs.FS, o Options) (*Handler, error) {
	contents := make(map[string][]byte)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		contents[name], err = fs.ReadFile(root, name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the files of the console: %w", err)
	}
	h := &Handler{policy: policy(o.FrameAncestors), framed: len(o.FrameAncestors) > 0, files: make(map[string]*file, len(contents))}
	all := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		fmt.Fprintf(all, "%s %d\n", name, len(contents[name]))
		all.Write(contents[name])
	}
	h.release = hex.EncodeToString(all.Sum(nil)[:8])
	for name, content := range contents {
		if name == index {
			content = bytes.ReplaceAll(content, []byte(releasePlace), []byte(h.release))
		}
		h.files[name] = newFile(name, content)
	}
	if h.files[index] == nil {
		return nil, fmt.Errorf("the console has no %s", index)
	}
	return h, nil
}

func newFile(name string, content []byte) *file {
	return &file{
		contentType: contentType(name),
		plain:       newRepresentation(content),
		packed:      sync.OnceValue(func() representation { return newRepresentation(packed(content)) }),
	}
}

// packed returns the content compressed as far as it goes.
func packed(content []byte) []byte {
	var to bytes.Buffer
	w, _ := gzip.NewWriterLevel(&to, gzip.BestCompression) // fails for levels that there are not
	_, _ = w.Write(content)                                // a buffer takes everything
	_ = w.Close()
	return to.Bytes()
}

func newRepresentation(body []byte) representation {
	sum := sha256.Sum256(body)
	return representation{body: body, tag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

// contentType does not depend on what the machine's own tables say of scripts.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	return mime.TypeByExtension(path.Ext(name))
}

// policy returns the Content-Security-Policy: nothing from elsewhere, nothing inline,
// and no text that becomes markup or code.
func policy(frameAncestors []string) string {
	ancestors := "'none'"
	if len(frameAncestors) > 0 {
		ancestors = strings.Join(frameAncestors, " ")
	}
	return "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors " + ancestors + "; require-trusted-types-for 'script'; trusted-types 'none'"
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	found, forever := h.find(strings.TrimPrefix(r.URL.Path, Root))
	if found == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	header := w.Header()
	header.Set("Content-Security-Policy", h.policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	if h.framed { // which X-Frame-Options cannot say
		header.Del("X-Frame-Options")
	} else {
		header.Set("X-Frame-Options", "DENY")
	}
	header.Set("Cache-Control", "no-cache")
	if forever {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	header.Set("Content-Type", found.contentType)
	header.Add("Vary", "Accept-Encoding")
	shown := found.plain
	if contentcoding.WantsGzip(r.Header.Values("Accept-Encoding")) {
		shown = found.packed()
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("ETag", shown.tag)
	if slices.ContainsFunc(r.Header.Values("If-None-Match"), func(known string) bool { return strings.Contains(known, shown.tag) }) {
		header.Del("Content-Type")
		header.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Length", fmt.Sprint(len(shown.body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(shown.body) // who reads no longer has gone
	}
}

// find returns the file for a path below Root, and whether that path will never answer
// with another one; nil where there is none. Files of another release are answered as
// they are in this one, which is what a page gets while replicas are replaced.
func (h *Handler) find(name string) (found *file, forever bool) {
	if name != "" && path.Clean("/" + name)[1:] != strings.TrimSuffix(name, "/") {
		return nil, false
	}
	if asset, ok := strings.CutPrefix(name, assets); ok {
		release, asset, _ := strings.Cut(asset, "/")
		if asset == index {
			return nil, false
		}
		return h.files[asset], release == h.release
	}
	switch path.Ext(name) {
	case ".js", ".mjs", ".css", ".html", ".svg", ".txt", ".map", ".json", ".ico", ".png":
		return nil, false // asks for a file; an id in the address of a page may have a dot, too
	}
	return h.files[index], false
}
