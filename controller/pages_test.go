package controller

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

// The end of a history is where it is, whatever cursor was sent: whoever goes
// on from last_cursor misses nothing that is stored later.
func TestLastCursorIsNeverAhead(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, tt := range []struct {
		query string
		last  int64
		want  string
	}{
		{"", 0, "0"},
		{"?cursor=50", 0, "0"},
		{"?cursor=50", 1, "1"},
		{"?cursor=1", 1, "1"},
		{"", 10, "10"},            // nothing is kept
		{"?cursor=0", 10, "10"},   // nothing is kept
		{"?cursor=7", 10, "10"},   // nothing behind it is there any more
		{"?order=desc", 10, "10"}, // nothing is kept
		{"?order=desc&cursor=50", 10, "10"},
		{"?order=desc&cursor=1", 10, "1"},
		{"?order=desc&cursor=50", 0, "0"},
	} {
		a.fakes.page = domain.HistoryPage{Last: tt.last}
		require.JSONEq(t, `{"data":[],"next_cursor":"","last_cursor":"`+tt.want+`"}`, a.do("GET", "/messages"+tt.query, "").body, tt.query)
	}
	for _, tt := range []struct {
		query string
		last  int64
		want  string
	}{{"", 0, "0"}, {"?cursor=50", 0, "0"}, {"?cursor=50", 17, "17"}, {"?cursor=17", 17, "17"}, {"?cursor=5", 17, "5"}, {"", 17, "0"}} {
		a.fakes.lastLetter = tt.last
		require.JSONEq(t, `{"data":[],"next_cursor":"","last_cursor":"`+tt.want+`"}`, a.do("GET", "/dead-letters"+tt.query, "").body, tt.query)
	}
}

func payloadOf(n int) []byte { return []byte(`"` + strings.Repeat("x", n) + `"`) }

func messagesUpTo(n, size int) domain.HistoryPage {
	page := domain.HistoryPage{Last: int64(n)}
	for i := range n {
		page.Messages = append(page.Messages, domain.Message{ID: messageID, TenantID: tenantID, Seq: int64(i + 1), Payload: payloadOf(size), CreatedAt: someTime})
	}
	return page
}

// A small page says how long it is. A large one is written as it comes, and
// reads the same.
func TestPagesAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.fakes.page = messagesUpTo(40, 1000)
	got := a.do("GET", "/messages", "")
	require.Equal(t, strconv.Itoa(len(got.body)), got.header.Get("Content-Length"))
	require.Len(t, decodeReply[model.MessagePage](t, got).Data, 40)
	head := a.do("HEAD", "/messages", "")
	require.Equal(t, got.header.Get("Content-Length"), head.header.Get("Content-Length"))

	all := messagesUpTo(9, 300_000)
	a.fakes.parts = []domain.HistoryPage{{Messages: all.Messages[:1], More: true}, {Messages: all.Messages[1:4], More: true}, {Messages: all.Messages[4:8], More: true}}
	a.fakes.page = domain.HistoryPage{Messages: all.Messages[8:], More: true}
	head = a.do("HEAD", "/messages", "")
	require.Equal(t, http.StatusOK, head.status)
	require.Empty(t, head.body)
	got = a.do("GET", "/messages", "")
	require.Empty(t, got.header.Get("Content-Length"))
	page := decodeReply[model.MessagePage](t, got)
	require.Len(t, page.Data, 9)
	for i, m := range page.Data {
		require.EqualValues(t, i+1, m.Seq)
		require.Equal(t, string(payloadOf(300_000)), string(m.Payload))
	}
	require.Equal(t, "9", page.NextCursor)
}

// When the rest of a page fails its answer does not end in good order.
func TestPagesThatFailAreCutOff(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.fakes.parts = []domain.HistoryPage{messagesUpTo(3, 100_000)}
	a.fakes.partErr = errors.New("unexpected")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+"/messages", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer admin")
	request.Header.Set("X-Tenant-ID", tenantID.String())
	request.Header.Set("Accept-Encoding", "identity")
	answer, err := a.server.Client().Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusOK, answer.StatusCode)
	_, err = io.ReadAll(answer.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

// Pieces that are written apart are, byte for byte, what encoding/json makes.
func TestPiecesAreTheDocument(t *testing.T) {
	t.Parallel()
	m := domain.Message{ID: messageID, TenantID: tenantID, Seq: 7, Payload: []byte("{\"a\": [1, 2.50, \"<&> \\\" x\"],\n \"b\": null}"), CreatedAt: someTime}
	var want bytes.Buffer
	encoder := json.NewEncoder(&want)
	encoder.SetEscapeHTML(false)
	require.NoError(t, encoder.Encode(model.FromMessage(&m)))
	head, payload, tail := model.EncodeMessage(&m)
	require.Equal(t, want.String(), string(head)+string(payload)+string(tail)+"\n")
}
