package controller

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gin-gonic/gin"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
	"lanekeeper/pkg/jsonb"
)

func TestDecodeObject(t *testing.T) {
	t.Parallel()
	var body model.CreateTenant
	require.NoError(t, decodeObject([]byte(" {\n\"na\\u006de\" :\t\"\\\"{}[],:\\\\\" , \"workers\":7}\n"), &body))
	require.Equal(t, `"{}[],:\`, *body.Name)
	require.Equal(t, 7, *body.Workers)

	var user model.ChangeUser
	require.NoError(t, decodeObject([]byte(`{"tenant_id":null}`), &user))
	require.Empty(t, *user.Domain().TenantID)

	require.NoError(t, decodeObject([]byte(`{"name":"\ufffd"}`), &model.CreateTenant{}))
	require.NoError(t, decodeObject([]byte(`{"name":"`+"\ufffd"+`"}`), &model.CreateTenant{}))
	require.NoError(t, decodeObject([]byte(`{"name":"\ud83d\udca9"}`), &model.CreateTenant{}))
	err := decodeObject([]byte(`{"name":"\udca9\ud83d"}`), &model.CreateTenant{})
	require.ErrorIs(t, err, domain.ErrInvalid)
}

func TestPointerIsCut(t *testing.T) {
	t.Parallel()
	require.Equal(t, "/~01~1", domain.Pointer("~1/"))
	require.Equal(t, "/a/b~1", domain.Pointer("a", "b/"))
	for _, names := range [][]string{{strings.Repeat("ä", 1000)}, {"headers", strings.Repeat("ä", 1000)}, {strings.Repeat("~", 90), "b"}} {
		require.LessOrEqual(t, len(domain.Pointer(names...)), 103)
		require.True(t, utf8.ValidString(domain.Pointer(names...)))
	}
}

// FuzzWalk compares the walker with encoding/json.
func FuzzWalk(f *testing.F) {
	for _, seed := range []string{
		`{}`, `[]`, ` { "a" : [1, {"b":"}"}] , "\"c\\" : "x\"]" } `, `[1,"a,b",[[]],{"x":{}},null , -1e5]`, `"s"`, `{"a":1,"a":2}`, `[`, "{\"a\":\"\\", `[[[[]]]]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		deeper := jsonb.DeeperThan(doc, 100)
		if err := checkJSON(doc); err != nil {
			return
		}
		_ = deeper
		switch jsonb.Opening(doc) {
		case '{':
			decoder := json.NewDecoder(bytes.NewReader(doc))
			_, err := decoder.Token()
			require.NoError(t, err)
			for name, value := range jsonb.Members(doc) {
				want, err := decoder.Token()
				require.NoError(t, err)
				require.Equal(t, want, unquote(name))
				var raw json.RawMessage
				require.NoError(t, decoder.Decode(&raw))
				require.Equal(t, string(raw), string(value))
			}
			require.False(t, decoder.More())
			_ = decodeObject(doc, &model.CreateTenant{})
			_ = decodeObject(doc, &model.ChangeUser{})
		case '[':
			var want []json.RawMessage
			require.NoError(t, json.Unmarshal(doc, &want))
			for element := range jsonb.Elements(doc) {
				require.NotEmpty(t, want)
				require.Equal(t, string(want[0]), string(element))
				want = want[1:]
			}
			require.Empty(t, want)
		default:
			require.Error(t, decodeObject(doc, &model.CreateTenant{}))
		}
	})
}

// FuzzDecodeMessage checks that a payload comes out as it went in.
func FuzzDecodeMessage(f *testing.F) {
	for _, seed := range []string{`{"a":1}`, `null`, ` 1.50 `, `"\u0000"`, `[1e9999]`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		doc := append(append([]byte(`{"payload":`), payload...), '}')
		if checkJSON(doc) != nil || !json.Valid(payload) {
			return
		}
		var body model.PublishMessage
		require.NoError(t, decodeObject(doc, &body))
		require.Equal(t, string(bytes.Trim(payload, " \t\r\n")), string(body.Payload))
	})
}

func TestDecodeTexts(t *testing.T) {
	t.Parallel()
	members := func(n int) string {
		var b strings.Builder
		for i := range n {
			b.WriteString(`"` + strconv.Itoa(i) + `":"",`)
		}
		return strings.TrimSuffix(b.String(), ",")
	}
	var body model.PublishMessage
	require.NoError(t, decodeObject([]byte(`{"headers": { "a" : "1", "\u0062":"\ud83d\udca9\ufffd" } ,"type":"","payload":1}`), &body))
	require.Equal(t, map[string]string{"a": "1", "b": "\U0001f4a9\ufffd"}, body.Headers)
	require.Empty(t, *body.Type)
	for _, empty := range []string{`{}`, ` { } `} {
		body = model.PublishMessage{}
		require.NoError(t, decodeObject([]byte(`{"headers":`+empty+`}`), &body))
		require.Nil(t, body.Headers)
	}
	require.NoError(t, decodeObject([]byte(`{"headers":{`+members(20)+`}}`), &body))
	require.Len(t, body.Headers, 20)

	for headers, want := range map[string][]domain.FieldError{
		`null`:                       {{Pointer: "/headers", Message: "must be an object of text"}},
		`[]`:                         {{Pointer: "/headers", Message: "must be an object of text"}},
		`"a"`:                        {{Pointer: "/headers", Message: "must be an object of text"}},
		`{` + members(21) + `}`:      {{Pointer: "/headers", Message: "must not have more than 20 members"}},
		`{"a":1,"b":null,"c":{}}`:    {{Pointer: "/headers/a", Message: "must be a string"}, {Pointer: "/headers/b", Message: "must be a string"}, {Pointer: "/headers/c", Message: "must be a string"}},
		`{"a":"1","\u0061":"2"}`:     {{Pointer: "/headers/a", Message: "must be given once"}},
		`{"a/b":"\ud83d"}`:           {{Pointer: "/headers/a~1b", Message: "must not contain lone surrogates"}},
		`{"a":"` + long(9000) + `"}`: {{Pointer: "/headers/a", Message: "is too long"}},
		`{"` + long(9000) + `":"a"}`: {{Pointer: "/headers/" + long(91) + "...", Message: "has too long a name"}},
	} {
		err := decodeObject([]byte(`{"headers":`+headers+`}`), &model.BatchMessage{})
		e, ok := errors.AsType[*domain.Error](err)
		require.True(t, ok, headers)
		require.Equal(t, want, e.Fields, headers)
	}
	// Members at fault are not told without end.
	doc := []byte(`{` + strings.ReplaceAll(members(15), `""`, `1`) + `,"headers":{` + strings.ReplaceAll(members(15), `""`, `1`) + `}}`)
	e, ok := errors.AsType[*domain.Error](decodeObject(doc, &model.BatchMessage{}))
	require.True(t, ok)
	require.Len(t, e.Fields, maxFieldErrors)
}

func long(n int) string { return strings.Repeat("x", n) }

// FuzzEnvelopeLines checks that a line of a body is the same message as in a
// batch in JSON, and what encoding/json makes of it.
func FuzzEnvelopeLines(f *testing.F) {
	for _, seed := range []string{
		`{"payload":1}`, ` {"payload": {"a" : [1]}, "type":"t","ordering_key":"k","headers":{"a":"b","c":"\u00e9"},"idempotency_key":"k"}`, `{}`, `[1]`, `1`,
		`{"payload":1,"headers":{"a":"1","a":"2"}}`, `{"payload":1,"headers":null}`, `{"payload":1,"x":2}`, `{"payload":1,"type":"\ud83d"}`, `{"payload":`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.ContainsAny(line, "\n") {
			t.Skip("more than a line")
		}
		var lines []batchEntry
		body := []byte("\n \r\n" + string(line) + "\r\n{}")
		for entry := range lineEntries(body, messageEntry) {
			lines = append(lines, entry)
		}
		require.ErrorIs(t, lines[len(lines)-1].err, domain.ErrInvalid, "a payload is missing")
		if lines = lines[:len(lines)-1]; len(lines) == 0 {
			require.Empty(t, bytes.Trim(line, " \t\r\n"))
			return
		}
		got := lines[0]
		require.Len(t, lines, 1)
		if got.err != nil {
			require.ErrorIs(t, got.err, domain.ErrInvalid)
		}
		if checkJSON(line) != nil {
			require.Error(t, got.err)
			return
		}
		for other := range arrayEntries(append(append([]byte("["), line...), ']')) {
			require.Equal(t, other.submission, got.submission)
			require.Equal(t, other.err, got.err)
		}
		if got.err != nil {
			return
		}
		var want struct {
			Payload        json.RawMessage   `json:"payload"`
			Type           string            `json:"type"`
			OrderingKey    string            `json:"ordering_key"`
			Headers        map[string]string `json:"headers"`
			IdempotencyKey string            `json:"idempotency_key"`
		}
		require.NoError(t, json.Unmarshal(line, &want))
		if len(want.Headers) == 0 {
			want.Headers = nil
		}
		require.Equal(t, domain.Submission{
			Payload: want.Payload, Type: want.Type, OrderingKey: want.OrderingKey, Headers: want.Headers, IdempotencyKey: want.IdempotencyKey,
		}, got.submission)
		require.True(t, within(body, got.submission.Payload), "the payload is not copied")
	})
}

// within reports whether part is a part of the memory of whole.
func within(whole, part []byte) bool {
	for i := range whole {
		if &whole[i] == &part[0] {
			return true
		}
	}
	return false
}

func BenchmarkReadBatch(b *testing.B) {
	var doc bytes.Buffer
	doc.WriteString(`{"messages":[`)
	for i := range model.MaxBatchMessages {
		if i > 0 {
			doc.WriteByte(',')
		}
		doc.WriteString(`{"payload":{"n":` + strconv.Itoa(i) + `,"text":"` + strings.Repeat("x", 230) + `"}}`)
	}
	doc.WriteString(`]}`)
	b.SetBytes(int64(doc.Len()))
	b.ReportAllocs()
	c := gin.CreateTestContextOnly(httptest.NewRecorder(), gin.New())
	for b.Loop() {
		if err := checkJSON(doc.Bytes()); err != nil {
			b.Fatal(err)
		}
		var batch model.RawBatch
		if err := decodeObject(doc.Bytes(), &batch); err != nil {
			b.Fatal(err)
		}
		if _, err := collect(c, arrayEntries(batch.Messages), ""); err != nil {
			b.Fatal(err)
		}
	}
}
