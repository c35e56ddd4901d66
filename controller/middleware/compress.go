package middleware

import (
	"bufio"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/klauspost/compress/gzip"

	"lanekeeper/pkg/contentcoding"
)

const (
	// minPacked is how long an answer is at least that is compressed.
	minPacked = 1 << 10
	// maxPackers is how many answers are compressed at a time. Each takes about 1 MiB,
	// for as long as its client reads; others are sent as they are.
	maxPackers = 32
)

// Packers compress answers. They are safe for concurrent use.
type Packers struct {
	// idle has a place for each answer that may be compressed at a time, and in it
	// what one before it used, or nil.
	idle chan *gzip.Writer
}

// NewPackers returns Packers.
func NewPackers() *Packers {
	p := &Packers{idle: make(chan *gzip.Writer, maxPackers)}
	for range maxPackers {
		p.idle <- nil
	}
	return p
}

// Compress compresses answers that are long enough and of a kind that gets shorter, for
// clients that ask for it. It is for no route with streams of events. Where it is for
// answers that are kept by caches, vary has all of them say what they depend on.
func Compress(packers *Packers, vary bool) gin.HandlerFunc {
	return func(c *gin.Context) {
		if vary {
			c.Writer.Header().Add("Vary", "Accept-Encoding")
		}
		if !contentcoding.WantsGzip(c.Request.Header["Accept-Encoding"]) {
			return
		}
		inner := c.Writer
		w := &packedWriter{ResponseWriter: inner, packers: packers, vary: vary}
		c.Writer = w
		defer func() { // an answer that panics is not ended
			c.Writer = inner
			w.giveBack()
		}()
		c.Next()
		w.finish()
	}
}

// packedWriter compresses an answer. It holds the beginning back until it knows whether
// that is worth it. It belongs to the goroutine of the request.
type packedWriter struct {
	gin.ResponseWriter

	packers *Packers
	vary    bool
	// decided: what is to be written goes to packer, or as it is where that is nil.
	// Until then it is in held.
	decided bool
	held    []byte
	packer  *gzip.Writer
	broken  bool // the connection takes no more
}

// Write implements http.ResponseWriter.
func (w *packedWriter) Write(data []byte) (int, error) {
	if !w.decided && !w.compressible() {
		w.decided = true
	}
	switch {
	case w.packer != nil:
		return w.pack(data)
	case w.decided:
		return w.ResponseWriter.Write(data) //nolint:wrapcheck // that of the connection
	case len(w.held)+len(data) < minPacked:
		w.held = append(w.held, data...)
		return len(data), nil
	}
	w.begin()
	if len(w.held) > 0 {
		held := w.held
		w.held = nil
		if _, err := w.Write(held); err != nil {
			return 0, err
		}
	}
	return w.Write(data)
}

// WriteString implements io.StringWriter.
func (w *packedWriter) WriteString(text string) (int, error) { return w.Write([]byte(text)) }

func (w *packedWriter) pack(data []byte) (int, error) {
	n, err := w.packer.Write(data)
	w.broken = w.broken || err != nil
	return n, err //nolint:wrapcheck // that of the connection
}

// Written reports whether the answer has begun, as far as handlers know.
func (w *packedWriter) Written() bool { return len(w.held) > 0 || w.ResponseWriter.Written() }

// Flush implements http.Flusher.
func (w *packedWriter) Flush() {
	w.release()
	if w.packer != nil {
		w.broken = w.packer.Flush() != nil || w.broken
	}
	w.ResponseWriter.Flush()
}

// WriteHeaderNow begins the answer.
func (w *packedWriter) WriteHeaderNow() {
	w.release()
	w.ResponseWriter.WriteHeaderNow()
}

// Hijack implements http.Hijacker.
func (w *packedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.decided = true
	return w.ResponseWriter.Hijack() //nolint:wrapcheck // it is its
}

// Unwrap returns net/http's own writer.
func (w *packedWriter) Unwrap() http.ResponseWriter {
	if inner, ok := w.ResponseWriter.(interface{ Unwrap() http.ResponseWriter }); ok {
		return inner.Unwrap()
	}
	return w.ResponseWriter
}

// compressible reports whether the answer, as far as it is known, may be compressed.
func (w *packedWriter) compressible() bool {
	h := w.Header()
	if status := w.Status(); w.ResponseWriter.Written() || status < http.StatusOK || status == http.StatusNoContent ||
		status == http.StatusPartialContent || status == http.StatusNotModified {
		return false
	}
	if h.Get("Content-Encoding") != "" || h.Get("Content-Range") != "" || strings.Contains(h.Get("Cache-Control"), "no-transform") {
		return false
	}
	if length, err := strconv.Atoi(h.Get("Content-Length")); err == nil && length < minPacked {
		return false
	}
	return packable(h.Get("Content-Type"))
}

// packable reports whether a type of content is one that gets shorter, and no stream.
func packable(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	switch media {
	case "application/json", "application/problem+json", "application/x-ndjson", "text/csv", "text/html", "text/css", "text/plain",
		"text/javascript", "application/javascript", "image/svg+xml":
		return true
	}
	return false
}

// begin begins to compress, if not too many others do.
func (w *packedWriter) begin() {
	w.decided = true
	h := w.Header()
	if !w.vary {
		h.Add("Vary", "Accept-Encoding")
	}
	select {
	case w.packer = <-w.packers.idle:
	default:
		return
	}
	if w.packer == nil {
		w.packer, _ = gzip.NewWriterLevel(nil, gzip.BestSpeed) // a level that there is
	}
	w.packer.Reset(w.ResponseWriter)
	h.Set("Content-Encoding", "gzip")
	h.Del("Content-Length")
	h.Del("Accept-Ranges")
	if tag := h.Get("ETag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		h.Set("ETag", "W/"+tag) // the same content in other bytes
	}
}

// release writes what was held back, as it is.
func (w *packedWriter) release() {
	if w.decided {
		return
	}
	w.decided = true
	if len(w.held) > 0 {
		_, _ = w.ResponseWriter.Write(w.held) // who writes next meets the same
		w.held = nil
	}
}

// finish ends the answer.
func (w *packedWriter) finish() {
	w.release()
	if w.packer != nil && !w.broken {
		_ = w.packer.Close() // the client has gone, which the connection knows
	}
}

// giveBack lets others compress.
func (w *packedWriter) giveBack() {
	if w.packer != nil {
		w.packer.Reset(nil)
		w.packers.idle <- w.packer
		w.packer = nil
	}
}
