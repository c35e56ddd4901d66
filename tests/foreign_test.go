package tests

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// A message with headers that the client library cannot read becomes a dead
// letter, in the queue and in the dead-letter queue; what was accepted behind
// it is stored, others do not notice, and its replay is stored.
func TestUnreadableHeaders(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("unreadable", 1).ID, app.CreateTenant("other", 1).ID
	deep := amqp.Table{}
	for range 33 {
		deep = amqp.Table{"in": deep}
	}
	many := make([]any, 9000)
	for i, headers := range []amqp.Table{deep, {"many": many}} {
		app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{{MessageId: fmt.Sprint("main ", i), Headers: headers, Body: []byte(`{"n":1}`)}})
		app.PutAll(apptest.DeadLetterQueueName(tenant), []amqp.Publishing{{MessageId: fmt.Sprint("dlq ", i), Headers: headers, Body: []byte(`{"n":2}`)}})
	}
	app.Publish(tenant, `"accepted behind it"`)
	app.Publish(other, `"not disturbed"`)
	app.Stored(tenant, 1)
	app.Stored(other, 1)
	letters := deadLetters(t, app, tenant, "", 4)
	for _, letter := range letters {
		require.Equal(t, "invalid_headers", letter.Reason)
		require.NotEmpty(t, letter.Error)
		require.Contains(t, letter.Headers, "x-unreadable-headers")
	}
	app.Want(http.StatusAccepted, nil, "POST", "/api/dead-letters/replay", map[string]any{"all": true}, apptest.ForTenant(tenant))
	app.Stored(tenant, 5)
}

// What was sent with a text as its id is found by it, in its tenant only.
func TestByMessageID(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("shop", 1).ID, app.CreateTenant("other", 1).ID
	texts := []string{"order-1842", "a/b c?d=e&f#g%2F", "ä 😀", ".", strings.Repeat("x", 255)}
	for i, text := range texts {
		app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{{MessageId: text, Body: fmt.Appendf(nil, `{"n":%d}`, i)}})
	}
	stored := app.Stored(tenant, len(texts))
	find := func(text string) string {
		return "/api/messages/by-message-id/" + strings.ReplaceAll(url.PathEscape(text), ".", "%2E")
	}
	var found struct {
		ID      string
		Payload json.RawMessage
	}
	for i, text := range texts {
		app.Want(http.StatusOK, &found, "GET", find(text), nil, apptest.ForTenant(tenant))
		require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, i), string(found.Payload), text)
		app.Refused(http.StatusNotFound, "message_not_found", "GET", find(text), nil, apptest.ForTenant(other))
		app.Want(http.StatusOK, nil, "GET", "/api/messages/"+found.ID, nil, apptest.ForTenant(tenant))
	}
	app.Want(http.StatusOK, &found, "GET", find(stored[0].ID), nil, apptest.ForTenant(tenant))
	require.Equal(t, stored[0].ID, found.ID)
	for _, text := range []string{"order-1843", strings.Repeat("x", 256), strings.Repeat("x", 5000)} {
		app.Refused(http.StatusNotFound, "message_not_found", "GET", find(text), nil, apptest.ForTenant(tenant))
	}
}

// Bodies that are packed are stored as what is in them; what cannot be
// unpacked becomes a dead letter as it came, whose replay is no different.
func TestPackedBodies(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("packed", 1).ID
	pack := func(body string, with func(io.Writer) io.WriteCloser) []byte {
		var packed bytes.Buffer
		w := with(&packed)
		_, err := io.WriteString(w, body)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		return packed.Bytes()
	}
	gzipped := func(body string) []byte {
		return pack(body, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	}
	zlibbed := pack(`{"n":2}`, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	bomb := gzipped(strings.Repeat(" ", 64<<20))
	app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{
		{ContentEncoding: "gzip", Body: gzipped(`{"n":1}`)},
		{ContentEncoding: "Deflate", Body: zlibbed},
		{ContentEncoding: "identity", Body: []byte(`{"n":3}`)},
		{ContentEncoding: "gzip", Body: gzipped(`not JSON`)},
		{ContentEncoding: "br", Body: []byte(`{"n":4}`)},
		{ContentEncoding: "gzip", Body: bomb},
	})
	for i, m := range app.Stored(tenant, 3) {
		require.JSONEq(t, fmt.Sprintf(`{"n":%d}`, i+1), string(m.Payload))
	}
	check := func(letters []deadLetter) {
		t.Helper()
		require.Equal(t, base64.StdEncoding.EncodeToString([]byte("not JSON")), *letters[0].BodyBase64)
		require.NotContains(t, letters[0].Headers, "x-content-encoding")
		require.Contains(t, letters[1].Error, `"br"`)
		require.Equal(t, map[string]any{"n": 4.0}, letters[1].Body)
		require.Equal(t, "br", letters[1].Headers["x-content-encoding"])
		require.Contains(t, letters[2].Error, "too large")
		require.Equal(t, base64.StdEncoding.EncodeToString(bomb), *letters[2].BodyBase64)
		for _, letter := range letters {
			require.Equal(t, "invalid_payload", letter.Reason)
		}
	}
	check(deadLetters(t, app, tenant, "", 3))
	app.Want(http.StatusAccepted, nil, "POST", "/api/dead-letters/replay", map[string]any{"all": true}, apptest.ForTenant(tenant))
	check(deadLetters(t, app, tenant, "", 3))
}
