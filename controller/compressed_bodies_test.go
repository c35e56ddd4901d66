package controller

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// gzipped returns a text, compressed.
func gzipped(t testing.TB, text string) string {
	t.Helper()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return packed.String()
}

func TestCompressedBodies(t *testing.T) {
	t.Parallel()
	memory := newMemory(128*megabyte, 34*megabyte)
	a := newAPI(t, func(o *Options) { o.Bodies = memory })
	got := a.do("POST", "/api/tenants", gzipped(t, `{"name":"Acme"}`), "Content-Encoding: gzip")
	require.Equal(t, http.StatusCreated, got.status, got.body)
	require.Equal(t, domain.NewTenant{Name: "Acme"}, a.fakes.newTenant)
	for _, encoding := range []string{"gzip", "GZIP", "x-gzip", "identity, gzip", "gzip,"} {
		got := a.do("POST", "/api/messages", gzipped(t, `{"payload":{"a":`)+gzipped(t, `1}}`), "Content-Encoding: "+encoding)
		require.Equal(t, http.StatusAccepted, got.status, got.body)
	}
	require.JSONEq(t, `{"a":1}`, string(a.fakes.submissions[0].Payload))
	got = a.do("POST", "/api/messages/batch", gzipped(t, strings.Repeat("{\"n\":1}\n", 1000)), "Content-Encoding: gzip", "Content-Type: application/x-ndjson")
	require.Equal(t, http.StatusAccepted, got.status, got.body)
	require.Len(t, a.fakes.submissions, 1005)
	require.Equal(t, http.StatusAccepted, a.do("POST", "/api/messages", `{"payload":1}`, "Content-Encoding: identity").status)

	// One without a length, and the largest there may be.
	large := `{"messages":[{"payload":1}]}` + strings.Repeat(" ", largeBody-28)
	require.Equal(t, http.StatusAccepted, a.do("POST", "/api/messages/batch", gzipped(t, large), "Content-Encoding: gzip").status)
	r, packed := a.dial(t), gzipped(t, large)
	r.begin("POST", "/messages/batch", "Transfer-Encoding: chunked", "Content-Encoding: gzip")
	r.send(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(packed), packed))
	require.Equal(t, http.StatusAccepted, r.answer().status)

	// What comes out is bounded, whatever comes in.
	a.problem(a.do("POST", "/api/messages/batch", gzipped(t, large+" "), "Content-Encoding: gzip"), http.StatusRequestEntityTooLarge, "body_too_large")
	a.problem(a.do("POST", "/api/messages/batch", gzipped(t, strings.Repeat(" ", 300*megabyte)), "Content-Encoding: gzip"), http.StatusRequestEntityTooLarge, "body_too_large")
	a.problem(a.do("POST", "/api/tenants", gzipped(t, strings.Repeat(" ", 70_000)), "Content-Encoding: gzip"), http.StatusRequestEntityTooLarge, "body_too_large")
	a.problem(a.do("POST", "/api/tenants", strings.Repeat(gzipped(t, ""), 4000), "Content-Encoding: gzip"), http.StatusRequestEntityTooLarge, "body_too_large")
	a.problem(a.do("POST", "/api/tenants", gzipped(t, ""), "Content-Encoding: gzip"), http.StatusBadRequest, "empty_body")

	whole := gzipped(t, `{"payload":1}`)
	for name, body := range map[string]string{
		"not compressed": `{"payload":1}`, "cut": whole[:len(whole)-1], "cut at its head": whole[:5], "more": whole + "x", "wrong sum": whole[:len(whole)-8] + "12345678",
		"deflated": "\x78\x9c\xab\x56\x4a\xaf",
	} {
		p := a.problem(a.do("POST", "/api/messages", body, "Content-Encoding: gzip"), http.StatusBadRequest, "body_not_gzip")
		require.NotEmpty(t, p.Detail, name)
	}
	for _, encoding := range []string{"br", "deflate", "gzip, gzip", "zstd", "gzip;q=1", "gzip br"} {
		got := a.do("POST", "/api/messages", whole, "Content-Encoding: "+encoding)
		a.problem(got, http.StatusUnsupportedMediaType, "unsupported_encoding")
		require.Equal(t, "gzip", got.header.Get("Accept-Encoding"))
	}
	require.Eventually(t, func() bool { return memory.Used() == 0 }, patience, 1)
}

// What comes out of a compressed body counts towards the memory of bodies.
func TestCompressedBodiesShareMemory(t *testing.T) {
	t.Parallel()
	memory := newMemory(4*megabyte, 4*megabyte)
	a := newAPI(t, func(o *Options) { o.Bodies = memory })
	body := gzipped(t, `{"messages":[{"payload":1}]}`+strings.Repeat(" ", 6*megabyte))
	require.Less(t, len(body), 100_000)
	a.problem(a.do("POST", "/api/messages/batch", body, "Content-Encoding: gzip"), http.StatusServiceUnavailable, "body_budget")
	require.Eventually(t, func() bool { return memory.Used() == 0 }, patience, 1)
}
