package webhook

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
)

// Destination is where messages are sent: a URL that was parsed once for all of
// them. The zero value is none, to which nothing can be sent. It is not changed by
// sending, and safe for concurrent use.
type Destination struct {
	raw      string
	receiver string
	url      *url.URL // nil when raw is none
}

// To returns the destination of an http or https URL. Whether it is a good one is
// found out when something is sent to it.
func To(raw string) Destination {
	d := Destination{raw: raw, receiver: raw}
	if u, err := url.Parse(raw); err == nil {
		encodeQuery(u)
		d.url, d.receiver = u, u.Scheme+"://"+u.Host
	}
	return d
}

// String returns the URL as it was given. It may carry secrets.
func (d Destination) String() string { return d.raw }

// Receiver returns scheme, host and port of the URL, which is as far as the address
// it leads to can be told without resolving it.
func (d Destination) Receiver() string { return d.receiver }

// post returns a request that http.NewRequestWithContext would return for the URL.
func (d Destination) post(ctx context.Context, body []byte) *http.Request {
	request := &http.Request{
		Method: http.MethodPost, URL: d.url, Host: d.url.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: make(http.Header, usualHeaders), ContentLength: int64(len(body)),
		Body:    io.NopCloser(bytes.NewReader(body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil },
	}
	if len(body) == 0 {
		request.Body, request.GetBody = http.NoBody, func() (io.ReadCloser, error) { return http.NoBody, nil }
	}
	return request.WithContext(ctx)
}
