package contentcoding

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Why a body cannot be unpacked. The texts of errors that Decode returns may
// be shown to the sender of the body.
var (
	ErrUnsupported = errors.New("the content encoding is not supported, which gzip and deflate are")
	ErrStacked     = errors.New("the body is encoded more than once, which is not supported")
	ErrCorrupt     = errors.New("the body is not what its content encoding says")
	ErrTooLarge    = errors.New("the body is too large")
)

// maxNamed bounds how much of an unknown coding's name an error quotes, in
// bytes.
const maxNamed = 32

// packedShare is how many times as large as it may be unpacked a body may be
// packed: far more than what gzip adds to what it cannot pack, and little
// enough that parts without content take no time.
const packedShare = 2

// Decode unpacks body, of which at most so many bytes are kept in memory. An
// empty coding and identity leave it as it is; gzip may have several members,
// and deflate is taken with and without its zlib header, because both are
// sent. It is safe for concurrent use.
func Decode(coding string, body []byte, most int) ([]byte, error) {
	name, err := soleCoding(coding)
	switch {
	case err != nil:
		return nil, err
	case name == "":
		return body, nil
	}
	if len(body) > packedShare*most {
		return nil, fmt.Errorf("%w: more than %d bytes before it is unpacked", ErrTooLarge, packedShare*most)
	}
	switch name {
	case "gzip":
		return unpack(body, most, func(r io.Reader) (io.ReadCloser, error) { return gzip.NewReader(r) })
	case "deflate":
		unpacked, err := unpack(body, most, zlib.NewReader)
		if !errors.Is(err, ErrCorrupt) {
			return unpacked, err
		}
		raw, rawErr := unpack(body, most, func(r io.Reader) (io.ReadCloser, error) { return flate.NewReader(r), nil })
		if errors.Is(rawErr, ErrCorrupt) {
			return nil, err
		}
		return raw, rawErr
	}
	return nil, fmt.Errorf("%w: %q", ErrUnsupported, name[:min(len(name), maxNamed)])
}

// soleCoding returns the one coding that a list names besides identity; "" for none.
func soleCoding(list string) (coding string, err error) {
	for name := range strings.SplitSeq(list, ",") {
		switch name = strings.ToLower(strings.TrimSpace(name)); name {
		case "", "identity":
			continue
		case "x-gzip":
			name = "gzip"
		}
		if coding != "" {
			return "", ErrStacked
		}
		coding = name
	}
	return coding, nil
}

func unpack(body []byte, most int, open func(io.Reader) (io.ReadCloser, error)) ([]byte, error) {
	packed := bytes.NewReader(body) // of which the decoders read no more than is theirs
	decoder, err := open(packed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	var unpacked bytes.Buffer
	n, err := io.Copy(&unpacked, io.LimitReader(decoder, int64(most)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	case n > int64(most):
		return nil, fmt.Errorf("%w: more than %d bytes once it is unpacked", ErrTooLarge, most)
	case packed.Len() > 0:
		return nil, fmt.Errorf("%w: something follows its end", ErrCorrupt)
	}
	return unpacked.Bytes(), nil
}
