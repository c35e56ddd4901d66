package controller

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

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
	require.Equal(t, "/~01~1", pointer("~1/"))
	require.LessOrEqual(t, len(pointer(strings.Repeat("ä", 1000))), maxPointerLength+3)
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
