package middleware

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/klauspost/compress/gzip"

	"lanekeeper/domain"
)

// unpackMemory is what unpacking takes beside what comes out.
const unpackMemory = 64 << 10

// packed reports whether the body is compressed. Codings other than gzip, and several,
// are an ErrUnsupported.
func packed(c *gin.Context) (bool, error) {
	sent := c.Request.Header["Content-Encoding"]
	if len(sent) == 0 {
		return false, nil
	}
	found := false
	for _, list := range sent {
		for name := range strings.SplitSeq(list, ",") {
			switch name = strings.ToLower(strings.TrimSpace(name)); {
			case name == "", name == "identity":
			case (name == "gzip" || name == "x-gzip") && !found:
				found = true
			default:
				c.Header("Accept-Encoding", "gzip")
				return false, domain.New(domain.ErrUnsupported, "unsupported_encoding", "The Content-Encoding may be gzip, once, or left out.")
			}
		}
	}
	return found, nil
}

// maxUnpackers is how many of what unpacks bodies are kept for later ones.
const maxUnpackers = 32

// Unpackers keep what unpacks bodies, which takes 40 KiB each. They are safe for
// concurrent use.
type Unpackers struct{ idle chan *gzip.Reader }

// NewUnpackers returns Unpackers.
func NewUnpackers() *Unpackers { return &Unpackers{make(chan *gzip.Reader, maxUnpackers)} }

func (u *Unpackers) take(from io.Reader) (*gzip.Reader, error) {
	select {
	case r := <-u.idle:
		if err := r.Reset(from); err != nil {
			u.giveBack(r)
			return nil, err //nolint:wrapcheck // the caller says what it means
		}
		return r, nil
	default:
		return gzip.NewReader(from) //nolint:wrapcheck // the caller says what it means
	}
}

func (u *Unpackers) giveBack(r *gzip.Reader) {
	select {
	case u.idle <- r:
	default:
	}
}

// unpack reads a compressed body. How long it will be is not known, so memory is taken
// as it is needed, and no more comes out than a body may have; time it has as what
// comes in would have had.
func (b *requestBody) unpack(from io.Reader, begun time.Time) ([]byte, error) {
	if err := b.reserve(unpackMemory); err != nil {
		return nil, err
	}
	in := &timedReader{b: b, from: from, begun: begun}
	unpacker, err := b.o.Unpackers.take(in)
	if err != nil {
		return nil, unpackError(err)
	}
	defer b.o.Unpackers.giveBack(unpacker)
	return b.readAll(&limitedReader{from: unpacker, limit: b.o.Limit}, -1, func(int) {})
}

// timedReader sets the deadline for each read of what comes in.
type timedReader struct {
	b     *requestBody
	from  io.Reader
	begun time.Time
	n     int
}

// Read implements io.Reader.
func (r *timedReader) Read(p []byte) (int, error) {
	r.b.hurry(r.begun, r.n)
	n, err := r.from.Read(p)
	r.n += n
	return n, err //nolint:wrapcheck // as the connection has it
}

// limitedReader ends with an error beyond so many bytes, and explains others.
type limitedReader struct {
	from  io.Reader
	limit int64
	n     int64
}

// Read implements io.Reader.
func (r *limitedReader) Read(p []byte) (int, error) {
	n, err := r.from.Read(p)
	if r.n += int64(n); r.n > r.limit {
		return 0, BodyTooLarge(r.limit)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = unpackError(err)
	}
	return n, err //nolint:wrapcheck // the end
}

// unpackError returns the error of reading the body if it is one, else that it is not
// what it is said to be.
func unpackError(err error) error {
	if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
		return readError(err)
	}
	if _, ofConnection := errors.AsType[net.Error](err); ofConnection {
		return readError(err)
	}
	if errors.Is(err, io.EOF) {
		err = fmt.Errorf("no content: %w", io.ErrUnexpectedEOF)
	}
	return domain.Wrap(err, domain.ErrMalformed, "body_not_gzip", "The body is not what its Content-Encoding says, or breaks off.")
}
