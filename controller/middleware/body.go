package middleware

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// bodyRate is how many bytes a second a body has to come with on average,
	// beyond a time that all have.
	bodyRate = 256 << 10
	// unreadGrace is how long an answer waits for the rest of a body that no
	// handler reads.
	unreadGrace = 2 * time.Second
	// longUpload is the time from which on what a body took is given back to the
	// request.
	longUpload = 100 * time.Millisecond

	// firstRead is how much memory a body gets before any of it has come.
	firstRead = 64 << 10
	// maxDecoded is how much of a body is in memory a second time at most:
	// messages, which have their size, are made compact one by one.
	maxDecoded = 1 << 20
	// bodyOverhead is what a request with a body takes besides.
	bodyOverhead = 4 << 10

	bodyRetryAfter = 2 * time.Second
)

// bodyMemory is what bodies may take. Reserve returns false when there is not
// enough, for all or for the owner.
type bodyMemory interface {
	Reserve(owner string, n int64) bool
	Release(owner string, n int64)
}

// BodyOptions are how bodies are read.
type BodyOptions struct {
	// Limit is how many bytes a body may have.
	Limit int64
	// Memory is what all bodies share; nil for any amount.
	Memory bodyMemory
	// Unpackers unpack compressed bodies.
	Unpackers *Unpackers
	// Patience is how long a body may take that has no bytes, and for how long
	// none of a body may come. For each bodyRate bytes it may take a second
	// longer.
	Patience time.Duration
	// Refused is called for every body for which there was no memory; may be nil.
	Refused func()
}

// requestBody is the body of a request. Only the request's goroutine uses it.
type requestBody struct {
	o        BodyOptions
	owner    string
	reserved int64
	control  *http.ResponseController
	end      context.CancelCauseFunc // of a context that ReadBody has made; may be nil
}

// Body lets handlers read bodies of at most o.Limit bytes with ReadBody, and
// refuses larger ones: at once when the client says so, else when a handler
// reads that far. What was reserved for the body is given back when the request
// is done. It goes after Authenticate and SelectTenant.
func Body(o BodyOptions) gin.HandlerFunc {
	return func(c *gin.Context) {
		if c.Request.ContentLength > o.Limit {
			Fail(c, BodyTooLarge(o.Limit))
			return
		}
		w := netHTTPWriter(c)
		c.Request.Body = http.MaxBytesReader(w, c.Request.Body, o.Limit)
		r := of(c)
		r.body, r.hasBody = requestBody{o: o, owner: bodyOwner(c), control: controlOf(c)}, true
		defer r.body.release()
		c.Next()
	}
}

// UnreadBodies bounds how long an answer waits for a body that no handler reads,
// which net/http reads to its end to get to the next request. It goes first.
func UnreadBodies() gin.HandlerFunc {
	return func(c *gin.Context) {
		if c.Request.ContentLength != 0 {
			// An error means that there is no connection, as in tests.
			_ = controlOf(c).SetReadDeadline(time.Now().Add(unreadGrace))
		}
	}
}

// netHTTPWriter returns net/http's own writer, which closes connections whose
// bodies are too large, and knows deadlines.
func netHTTPWriter(c *gin.Context) http.ResponseWriter {
	if inner, ok := c.Writer.(interface{ Unwrap() http.ResponseWriter }); ok {
		return inner.Unwrap()
	}
	return c.Writer
}

// BodyTooLarge is the answer to a body of more than limit bytes.
func BodyTooLarge(limit int64) error {
	return domain.New(domain.ErrTooLarge, "body_too_large", fmt.Sprintf("The body may have at most %d bytes.", limit))
}

func bodyTooSlow(cause error) error {
	return domain.Wrap(cause, domain.ErrTooSlow, "body_too_slow", "The body did not come in time; it was not read to its end.")
}

// ReadBody returns the whole body, unpacked where its Content-Encoding is gzip: its limit
// is for what comes in, and for what comes out. It reserves memory first, and takes more as
// it is needed where the client does not say how long the body is; it belongs
// to the request until it is done. The time that a body takes is not taken from
// that of the request, which has another context afterwards. Errors are
// ErrTooLarge, ErrTooSlow, ErrUnavailable with code "body_budget", ErrUnsupported for
// another encoding, and ErrMalformed for a body that breaks off.
func ReadBody(c *gin.Context) ([]byte, error) {
	r := of(c)
	b := &r.body
	if !r.hasBody {
		return nil, errors.New("read body: the route has none") // a mistake in the route table
	}
	isPacked, err := packed(c)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	var data []byte
	if isPacked && c.Request.ContentLength != 0 {
		data, err = b.unpack(c.Request.Body, begun)
	} else {
		data, err = b.read(c.Request.Body, c.Request.ContentLength, begun)
	}
	if err != nil {
		return nil, err
	}
	if took := time.Since(begun); took > longUpload {
		b.extend(c, took)
	}
	return data, nil
}

// GrowBody reserves n bytes more for what is made of the body, or returns an
// ErrUnavailable.
func GrowBody(c *gin.Context, n int64) error {
	if r := of(c); r.hasBody {
		return r.body.reserve(n)
	}
	return nil
}

func (b *requestBody) read(from io.Reader, length int64, begun time.Time) ([]byte, error) {
	if length == 0 {
		return nil, nil
	}
	return b.readAll(from, length, func(n int) { b.hurry(begun, n) })
}

// readAll reads to the end. Before each read it calls hurry with how much there is.
func (b *requestBody) readAll(from io.Reader, length int64, hurry func(n int)) ([]byte, error) {
	if err := b.reserve(bodyOverhead + max(length, 0) + min(max(length, 0), maxDecoded)); err != nil {
		return nil, err
	}
	var data []byte
	for {
		if len(data) == cap(data) {
			var err error
			if data, err = b.grow(data, length); err != nil {
				return nil, err
			}
		}
		hurry(len(data))
		n, err := from.Read(data[len(data):cap(data)])
		data = data[:len(data)+n]
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			return data, b.decoded(len(data), length)
		default:
			return nil, readError(err)
		}
	}
}

// grow returns data with room for more. Where the length is known all of it is
// reserved.
func (b *requestBody) grow(data []byte, length int64) ([]byte, error) {
	if length >= 0 {
		size := length + 1 // for the read that finds the end
		if cap(data) == 0 {
			size = min(size, firstRead)
		}
		return append(make([]byte, 0, size), data...), nil
	}
	size := min(max(2*cap(data), bodyOverhead), int(b.o.Limit)+1)
	if err := b.reserve(int64(size)); err != nil {
		return nil, err
	}
	grown := append(make([]byte, 0, size), data...)
	b.giveBack(int64(cap(data)))
	return grown, nil
}

// decoded reserves for what is made of a body whose length was not known.
func (b *requestBody) decoded(n int, length int64) error {
	if length >= 0 {
		return nil
	}
	return b.reserve(int64(min(n, maxDecoded)))
}

// hurry sets the deadline for the next bytes, of which n have come.
func (b *requestBody) hurry(begun time.Time, n int) {
	deadline := begun.Add(b.o.Patience + time.Duration(n)*time.Second/bodyRate)
	if stalled := time.Now().Add(b.o.Patience); stalled.Before(deadline) {
		deadline = stalled
	}
	_ = b.control.SetReadDeadline(deadline) // not in tests without a connection
}

func readError(err error) error {
	if known, ok := errors.AsType[*domain.Error](err); ok {
		return known
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return BodyTooLarge(tooLarge.Limit)
	}
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return bodyTooSlow(err)
	}
	return domain.Wrap(err, domain.ErrMalformed, "body_unreadable", "The body could not be read to its end.")
}

// extend gives the request the time that the body took.
func (b *requestBody) extend(c *gin.Context, took time.Duration) {
	deadline, ok := c.Request.Context().Deadline()
	if !ok {
		return
	}
	ctx, end := Outlive(c)
	ctx, cancel := context.WithDeadline(ctx, deadline.Add(took))
	b.end = func(cause error) {
		cancel()
		end(cause)
	}
	c.Request = c.Request.WithContext(ctx)
}

func (b *requestBody) reserve(n int64) error {
	if b.o.Memory == nil {
		return nil
	}
	if !b.o.Memory.Reserve(b.owner, n) {
		if b.o.Refused != nil {
			b.o.Refused()
		}
		return domain.New(domain.ErrUnavailable, "body_budget",
			"There is no memory for the body at the moment, because there are too many of the caller's or of all; try again.").After(bodyRetryAfter)
	}
	b.reserved += n
	return nil
}

func (b *requestBody) giveBack(n int64) {
	if b.o.Memory != nil {
		b.o.Memory.Release(b.owner, n)
		b.reserved -= n
	}
}

// release gives back everything, at the end of the request.
func (b *requestBody) release() {
	b.giveBack(b.reserved)
	if b.end != nil {
		b.end(nil)
	}
}

// bodyOwner returns whose share a body counts for: that of the tenant's owner,
// else of the caller, else of the address.
func bodyOwner(c *gin.Context) string {
	if t := Tenant(c); t.OwnerID != uuid.Nil {
		return t.OwnerID.String()
	}
	if p := Principal(c); p.UserID != uuid.Nil {
		return p.UserID.String()
	}
	return addressShare(addressOf(c))
}

// addressShare returns what has one share of its own: an address, or of IPv6 a
// network of 64 bits.
func addressShare(text string) string {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Unmap().Is4() {
		return text
	}
	if prefix, err := addr.WithZone("").Prefix(64); err == nil {
		return prefix.String()
	}
	return text
}
