package webhook_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/webhook"
)

func TestCheckHeader(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]string{
		"Authorization": "Bearer abc==", "x-api-key": "", "X": "a b", "X_1!#$%&'*+.^`|~": strings.Repeat("x", 1000),
		"Cookie": "a=b; c=\"d\"", "Accept": "*/*", "X-Host": "a", "Hostname": "a", "webhook": "a", "lanekeeper": "a", "proxy": "a",
	} {
		require.Empty(t, webhook.CheckHeader(name, value), name)
	}
	for _, name := range []string{"", "a b", "a:", "a\r\nb", "a\x00", "\u00fc", "a\xff", "a/b", "(a)", "[a]", "a,b", "a;b", "a=b", "a\"b", strings.Repeat("a", 201)} {
		require.Contains(t, webhook.CheckHeader(name, "x"), "must have a name", "%q", name)
	}
	for _, value := range []string{"a\r\nb", "a\nb", "a\rb", "a\x00b", "a\tb", "\x7f", "\u00fc", "\xff", " a", "a ", " ", strings.Repeat("x", 1001)} {
		require.Contains(t, webhook.CheckHeader("X-A", value), "must have a value", "%q", value)
	}
	for _, name := range []string{
		"Host", "Content-Length", "Content-Type", "Content-Encoding", "Content-Range", "Transfer-Encoding", "Connection", "Keep-Alive", "Upgrade", "TE", "Trailer",
		"Expect", "Proxy-Authorization", "Proxy-Connection", "User-Agent", "Accept-Encoding", "Idempotency-Key", "X-Idempotency-Key",
		"Cookie2", "HTTP2-Settings", "webhook-id", "webhook-timestamp", "webhook-signature", "webhook-anything",
		"lanekeeper-seq", "lanekeeper-replay", "traceparent", "tracestate",
	} {
		for _, spelled := range []string{name, strings.ToLower(name), strings.ToUpper(name)} {
			require.Equal(t, "is set by the service", webhook.CheckHeader(spelled, "x"), spelled)
		}
	}
}

// What is sent along never replaces what Client sets, however it is spelled, and
// never changes how a request is sent.
func TestHeadersThatAreSentAlong(t *testing.T) {
	t.Parallel()
	requests := make(chan *http.Request, 1)
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { requests <- r })
	r := request(server.URL)
	r.Secrets = [][]byte{secret, []byte("the one before that is still good"), []byte("one too many")}
	r.Headers = map[string]string{
		"X-Api-Key": "k", "traceparent": "00-1", "lanekeeper-seq": "7",
		"webhook-id": "forged", "WEBHOOK-SIGNATURE": "forged", "content-type": "text/plain", "user-agent": "forged", "Host": "forged",
		"Content-Length": "1", "transfer-encoding": "chunked", "Connection": "close", "Expect": "100-continue", "Idempotency-Key": "forged",
	}
	require.NoError(t, reachLocal(t).Send(t.Context(), r).Err)
	got := <-requests
	require.Equal(t, "k", got.Header.Get("X-Api-Key"))
	require.Equal(t, "00-1", got.Header.Get("Traceparent"))
	require.Equal(t, "7", got.Header.Get("Lanekeeper-Seq"))
	require.Equal(t, []string{id}, got.Header["Webhook-Id"])
	require.Equal(t, []string{"application/json"}, got.Header["Content-Type"])
	require.Equal(t, []string{"Lanekeeper/1"}, got.Header["User-Agent"])
	require.Equal(t, mustURL(t, server.URL).Host, got.Host)
	require.EqualValues(t, len(payload), got.ContentLength)
	require.False(t, got.Close)
	require.Empty(t, got.TransferEncoding)
	require.NotContains(t, got.Header, "Idempotency-Key")
	require.NotContains(t, got.Header, "Expect")
	signed := strings.Split(got.Header.Get("Webhook-Signature"), " ")
	require.Len(t, signed, 2)
	require.NotEqual(t, signed[0], signed[1])

	one := request(server.URL)
	one.Secrets = r.Secrets[1:2]
	require.NoError(t, reachLocal(t).Send(t.Context(), one).Err)
	require.Equal(t, signed[1], (<-requests).Header.Get("Webhook-Signature"), "each signs on its own")

	none := request(server.URL)
	none.Secrets = nil
	require.NoError(t, reachLocal(t).Send(t.Context(), none).Err)
	require.NotContains(t, (<-requests).Header, "Webhook-Signature")
}

// What a customer adds may be a secret between him and the host he named.
func TestARedirectToAnotherHostGetsNoSecrets(t *testing.T) {
	t.Parallel()
	requests := make(chan *http.Request, 1)
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) { requests <- r })
	var server *httptest.Server
	server = serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/same":
			http.Redirect(w, r, server.URL+"/end", http.StatusTemporaryRedirect)
		case "/other":
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		default:
			requests <- r
		}
	})
	for path, want := range map[string]string{"/same": "k", "/other": ""} {
		r := request(server.URL + path)
		r.Headers = map[string]string{"X-Api-Key": "k", "lanekeeper-seq": "7"}
		require.NoError(t, reachLocal(t).Send(t.Context(), r).Err)
		got := <-requests
		require.Equal(t, want, got.Header.Get("X-Api-Key"), path)
		require.Equal(t, "7", got.Header.Get("Lanekeeper-Seq"), path)
		require.Equal(t, id, got.Header.Get("Webhook-Id"), path)
		require.NotEmpty(t, got.Header.Get("Webhook-Signature"), path)
		require.Equal(t, "application/json", got.Header.Get("Content-Type"), path)
	}
}
