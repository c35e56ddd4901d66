package controller

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/pkg/jsonb"
)

const (
	jsonType   = "application/json"
	ndjsonType = "application/x-ndjson"
)

// mediaType returns which of the allowed media types the body has. A request
// without Content-Type is taken to be the first of them; any other type is an
// ErrUnsupported.
func mediaType(c *gin.Context, allowed ...string) (string, error) {
	header := c.GetHeader("Content-Type")
	if header == "" || header == allowed[0] {
		return allowed[0], nil
	}
	media, params, err := mime.ParseMediaType(header)
	charset := params["charset"]
	if err != nil || !slices.Contains(allowed, media) || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return "", domain.New(domain.ErrUnsupported, "unsupported_media_type", "The Content-Type must be "+strings.Join(allowed, " or ")+".")
	}
	return media, nil
}

// checkJSON returns nil when doc is one JSON value, and nothing else, in
// UTF-8.
func checkJSON(doc []byte) error {
	switch {
	case jsonb.Valid(doc):
		return nil
	case jsonb.Opening(doc) == 0:
		return domain.New(domain.ErrMalformed, "empty_body", "The body is empty; a JSON document is expected.")
	case !utf8.Valid(doc):
		return domain.New(domain.ErrMalformed, "invalid_utf8", "The body is not valid UTF-8.")
	case jsonb.DeeperThan(doc, jsonb.MaxDocumentDepth):
		return domain.New(domain.ErrInvalid, "too_deep", "The JSON is nested too deep.")
	}
	var raw json.RawMessage
	err := json.Unmarshal(doc, &raw)
	detail := "The body is not valid JSON."
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		detail = fmt.Sprintf("The body is not valid JSON: %s (byte %d).", syntax.Error(), syntax.Offset)
	}
	return domain.Wrap(err, domain.ErrMalformed, "not_json", detail)
}

// readObject decodes the body, a JSON object, into the struct target points
// to, and returns the body.
func readObject(c *gin.Context, target any) ([]byte, error) {
	if _, err := mediaType(c, jsonType); err != nil {
		return nil, err
	}
	body, err := middleware.ReadBody(c)
	if err != nil {
		return nil, err
	}
	if err := checkJSON(body); err != nil {
		return nil, err
	}
	return body, decodeObject(body, target)
}

// writeJSON writes an answer. Text is not escaped for HTML, so payloads go out
// as they were stored.
func writeJSON(c *gin.Context, status int, answer any) error {
	e := takeEncoder()
	defer e.giveBack()
	if err := e.Encode(answer); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	h := c.Writer.Header()
	h["Cache-Control"], h["Content-Type"] = e.cacheControl, e.contentType
	c.Status(status)
	if _, err := c.Writer.Write(e.buf.Bytes()); err != nil {
		_ = c.Error(err) // the client has gone
	}
	return nil
}

// maxKeptBuffer is how large a buffer is that is kept for a later answer, in bytes.
const maxKeptBuffer = 64 << 10

// encoder encodes answers, one after the other.
type encoder struct {
	*json.Encoder

	buf bytes.Buffer
	// Values of headers of every answer, which nobody changes.
	cacheControl, contentType []string
}

//nolint:gochecknoglobals // a pool is of use only when it is everybody's
var encoders = sync.Pool{New: func() any {
	e := &encoder{cacheControl: []string{"no-store"}, contentType: []string{jsonType}}
	e.Encoder = json.NewEncoder(&e.buf)
	e.SetEscapeHTML(false)
	return e
}}

func takeEncoder() *encoder {
	e := encoders.Get().(*encoder) //nolint:errcheck,forcetypeassert // nothing else is in it
	e.buf.Reset()
	return e
}

// giveBack keeps the encoder for another answer, unless this one was large.
func (e *encoder) giveBack() {
	if e.buf.Cap() <= maxKeptBuffer {
		encoders.Put(e)
	}
}
