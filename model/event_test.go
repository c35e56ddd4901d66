package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func storedMessage(payload string) *domain.Message {
	return &domain.Message{
		ID: uuid.MustParse("0197a3a3-11d2-7a51-9a3e-0242ac120003"), TenantID: uuid.MustParse("0197a3a2-7d2c-7c3e-8f7e-0242ac120002"),
		Seq: 42, Payload: []byte(payload), CreatedAt: time.Date(2026, 11, 21, 10, 0, 0, 123_456_000, time.UTC),
	}
}

// history returns m as answers carry it, which are not escaped for HTML.
func history(t testing.TB, m *domain.Message) (string, error) {
	t.Helper()
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(FromMessage(m))
	return strings.TrimSuffix(buf.String(), "\n"), err
}

// requireEvent requires an event to be well-formed for any reader of lines,
// and returns its data.
func requireEvent(t testing.TB, event []byte, seq int64) string {
	t.Helper()
	require.NotContains(t, string(event), "\r")
	lines := strings.Split(string(event), "\n")
	require.Len(t, lines, 5, "%q", event)
	require.Equal(t, fmt.Sprintf("id: %d", seq), lines[0])
	require.Equal(t, "event: message", lines[1])
	require.Equal(t, []string{"", ""}, lines[3:])
	data, ok := strings.CutPrefix(lines[2], "data: ")
	require.True(t, ok)
	return data
}

func TestEncodeEvent(t *testing.T) {
	t.Parallel()
	m := storedMessage(`{"text": "hello"}`)
	require.Equal(t, "id: 42\nevent: message\ndata: "+
		`{"id":"0197a3a3-11d2-7a51-9a3e-0242ac120003","tenant_id":"0197a3a2-7d2c-7c3e-8f7e-0242ac120002","seq":42,"payload":{"text":"hello"},"created_at":"2026-11-21T10:00:00.123456Z"}`+
		"\n\n", string(EncodeEvent(m)))
}

func TestEventsCarryWhatTheHistoryDoes(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{
		`{}`, `[]`, `null`, `0`, `"x"`, `""`, `true`, `"\""`, `"\\"`, `"\\\\\""`, `"a b  c"`,
		`"line\nline\r\nline\u2028 \u0085"`, "\"raw \u2028 \u2029 \u0085 \u00a0\"", `"<b>&amp;</b>"`,
		"{\n\t\"a\" : [ 1 ,\r\n 2 ] ,\r \"b\": { } }", "\n\n{\"data\":\"\\n\\nevent: forged\\n\\n\"}\n\n",
		`{"a": 1.50, "b": 1e400, "c": -0.0, "é": "日本"}`, `"` + strings.Repeat(`\n`, 1000) + `"`,
		`[ " " , " \" " , "\\" , " " ]`, "",
	} {
		m := storedMessage(payload)
		if payload == "" {
			m.Payload = nil
		}
		want, err := history(t, m)
		require.NoError(t, err, payload)
		require.Equal(t, want, requireEvent(t, EncodeEvent(m), 42), payload)
	}
}

// What a message carries besides its payload comes before that, where there is
// any.
func TestEventsWithEnvelopes(t *testing.T) {
	t.Parallel()
	m := storedMessage(`1`)
	m.Seq, m.Type, m.OrderingKey, m.Headers = 7, "order.created", "order-1", map[string]string{"b": "2", "a": "1", "c": ""}
	require.Contains(t, requireEvent(t, EncodeEvent(m), 7),
		`"seq":7,"type":"order.created","ordering_key":"order-1","headers":{"a":"1","b":"2","c":""},"payload":1,"created_at"`)
	for _, text := range []string{
		"", "a", `"`, `\`, "\n\r\t", "\x00\x1f\x7f", "<b>&amp;</b>", "ü 日本 \u2028\u2029\u0085", "\U0001F600", strings.Repeat(`a"`, 500),
	} {
		for _, change := range []func(m *domain.Message){
			func(m *domain.Message) { m.Type = text },
			func(m *domain.Message) { m.OrderingKey = text },
			func(m *domain.Message) { m.Headers = map[string]string{text: text, "x": text} },
			func(m *domain.Message) { m.Headers = map[string]string{} },
		} {
			m := storedMessage(`{"a": 1}`)
			change(m)
			want, err := history(t, m)
			require.NoError(t, err)
			require.Equal(t, want, requireEvent(t, EncodeEvent(m), 42))
		}
	}
}

func TestEventsOfAnyTime(t *testing.T) {
	t.Parallel()
	for _, at := range []time.Time{
		{}, time.Unix(0, 0), time.Date(2026, 11, 21, 10, 0, 0, 0, time.FixedZone("x", 7200)), time.Date(2026, 1, 2, 3, 4, 5, 1000, time.UTC),
	} {
		m := storedMessage(`1`)
		m.CreatedAt = at
		want, err := history(t, m)
		require.NoError(t, err)
		require.Equal(t, want, requireEvent(t, EncodeEvent(m), 42))
	}
}

// Whatever a payload is made of, its event is one event; and when it is JSON,
// its data is that of the history.
func FuzzEncodeEvent(f *testing.F) {
	for _, seed := range []string{`{"a": "b"}`, "\"\n\"", `"\`, "\r\n", "\"a\\\n\"", `[1, " ", "\""]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		m := storedMessage(string(payload))
		data := requireEvent(t, EncodeEvent(m), 42)
		if want, err := history(t, m); err == nil {
			require.Equal(t, want, data)
		}
	})
}

// Whatever text a message carries, its event says the same as the history.
func FuzzEncodeEnvelope(f *testing.F) {
	f.Add("order.created", "order-1", "name", "value")
	f.Add("\n\n", `"`, "\u2028", `\`)
	f.Fuzz(func(t *testing.T, typ, orderingKey, name, value string) {
		m := storedMessage(`{}`)
		m.Type, m.OrderingKey, m.Headers = typ, orderingKey, map[string]string{name: value, "name": name}
		want, err := history(t, m)
		require.NoError(t, err)
		require.Equal(t, want, requireEvent(t, EncodeEvent(m), 42))
	})
}

func BenchmarkEncodeEvent(b *testing.B) {
	for _, size := range []int{100, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			m := storedMessage(`{"text": "` + strings.Repeat("x", size) + `", "n": 1}`)
			b.ReportAllocs()
			b.SetBytes(int64(len(m.Payload)))
			for b.Loop() {
				EncodeEvent(m)
			}
		})
	}
}
