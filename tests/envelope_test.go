package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// envelope is what a message carries besides its payload.
type envelope struct {
	Type, OrderingKey string
	Headers           map[string]string
}

func envelopeOf(m apptest.Message) envelope { return envelope{m.Type, m.OrderingKey, m.Headers} }

// Whichever way a message comes, and is read, it has its type, its ordering key
// and its headers; one that has none shows none.
func TestEnvelopes(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 1).ID
	const message = `{"payload":{"n":1},"type":"order.created","ordering_key":"Kunde 7 ü","headers":{"source":"shop","b-2":"\"\u2028\" <&>","a.1":""}}`
	whole := envelope{"order.created", "Kunde 7 ü", map[string]string{"source": "shop", "b-2": "\"\u2028\" <&>", "a.1": ""}}
	lines := []apptest.Header{apptest.ForTenant(tenant), ndjson()}
	app.Want(http.StatusAccepted, nil, "POST", "/api/messages", message, apptest.ForTenant(tenant))
	app.Want(http.StatusAccepted, nil, "POST", "/api/messages/batch", `{"messages":[`+message+`,{"payload":2,"headers":{}},{"payload":3,"type":"t"}]}`, apptest.ForTenant(tenant))
	app.Want(http.StatusAccepted, nil, "POST", "/api/messages/batch?envelope=true", message+"\n{\"payload\":5,\"ordering_key\":\"k\"}\n", lines...)
	app.Want(http.StatusAccepted, nil, "POST", "/api/messages/batch", message+"\n6\n", lines...)
	app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{
		{MessageId: "whole", Type: whole.Type, Headers: amqp.Table{"x-ordering-key": whole.OrderingKey, "source": "shop", "b-2": "\"\u2028\" <&>", "a.1": ""}, Body: []byte(`{"n":1}`)},
		{MessageId: "bare", Body: []byte(`{"n":1}`)},
	})
	want := []envelope{
		whole, whole, {}, {Type: "t"}, whole, {OrderingKey: "k"}, {}, {}, whole, {},
	}
	stored := app.Stored(tenant, len(want))
	stream := app.Stream(tenant, "cursor=0")
	events, err := stream.Take(0, len(want))
	require.NoError(t, err)
	for i, m := range stored {
		require.Equal(t, want[i], envelopeOf(m), i)
		require.Equal(t, m, events[i].Message)
		var one apptest.Message
		app.Want(http.StatusOK, &one, "GET", "/api/messages/"+m.ID, nil, apptest.ForTenant(tenant))
		require.Equal(t, m, one)
	}
	apptest.RequireSameJSON(t, message, string(stored[6].Payload))
	page := string(app.Call("GET", "/api/messages?limit=3", nil, apptest.ForTenant(tenant)).Body)
	require.Contains(t, page, `"seq":1,"type":"order.created","ordering_key":"Kunde 7 ü","headers":{"a.1":"","b-2":"\"\u2028\" <&>","source":"shop"},"payload":{"n":1},"created_at"`)
	require.Contains(t, page, `"seq":3,"payload":2,"created_at"`)
	require.Equal(t, len(`{"n": 1}`), apptest.QueryRow[int](app.Probes, `SELECT bytes FROM messages WHERE seq = 1`))
	app.RequireNoDeadLetters(tenant)
}

// What others publish is kept as it is wherever it can be; what no message can
// have makes a dead letter, whose replay goes without it. Headers of the broker
// belong to nobody's message.
func TestForeignEnvelopes(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("tenant", 1).ID, app.CreateTenant("other", 1).ID
	many := amqp.Table{}
	for i := range 21 {
		many[fmt.Sprintf("name %02d", i)] = int32(i)
	}
	good := []struct {
		m    amqp.Publishing
		want envelope
	}{
		{amqp.Publishing{Type: `order created, "now" *`}, envelope{Type: `order created, "now" *`}},
		{amqp.Publishing{Type: strings.Repeat("ü", 127)}, envelope{Type: strings.Repeat("ü", 127)}},
		{
			amqp.Publishing{Headers: amqp.Table{"a b/ü": "line\r\nbreak\ttab", "n": int64(-5), "f": 2.5, "yes": true, "price": amqp.Decimal{Scale: 2, Value: 1999}}},
			envelope{Headers: map[string]string{"a b/ü": "line\r\nbreak\ttab", "n": "-5", "f": "2.5", "yes": "true", "price": "1999e-2"}},
		},
		{
			amqp.Publishing{Headers: amqp.Table{"x-ordering-key": int32(7), "x-anything": "x", "X-Request-Id": "x", "timestamp_in_ms": int64(1), "table": amqp.Table{"a": "b"}, "list": []any{"a"}, "nil": nil}},
			envelope{OrderingKey: "7"},
		},
		{amqp.Publishing{Headers: amqp.Table{"CC": []any{apptest.QueueName(other)}, "BCC": []any{"nowhere"}, "a": ""}}, envelope{Headers: map[string]string{"a": ""}}},
	}
	for i, g := range good {
		g.m.Body = fmt.Append(nil, i)
		app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{g.m})
	}
	for i, m := range app.Stored(tenant, len(good)) {
		require.Equal(t, good[i].want, envelopeOf(m), i)
	}
	// RabbitMQ itself took the CC for what it is. The header is not the other's either.
	require.Equal(t, envelope{Headers: map[string]string{"a": ""}}, envelopeOf(app.Stored(other, 1)[0]))

	bad := []struct {
		m      amqp.Publishing
		error  string
		replay envelope
	}{
		{amqp.Publishing{Type: "a\nb", Headers: amqp.Table{"x-ordering-key": "k", "a": "1"}}, "type", envelope{OrderingKey: "k", Headers: map[string]string{"a": "1"}}},
		{amqp.Publishing{Type: "\xff"}, "type", envelope{Type: "\ufffd"}},
		{amqp.Publishing{Type: "t", Headers: amqp.Table{"x-ordering-key": strings.Repeat("k", 129)}}, "x-ordering-key", envelope{Type: "t"}},
		{amqp.Publishing{Headers: amqp.Table{"x-ordering-key": amqp.Table{}}}, "x-ordering-key", envelope{}},
		{amqp.Publishing{Headers: amqp.Table{"a": "\x00", "b": "2"}}, `header "a"`, envelope{Headers: map[string]string{"b": "2"}}},
		{amqp.Publishing{Headers: amqp.Table{"a": "\xff"}}, `header "a"`, envelope{}},
		{amqp.Publishing{Headers: amqp.Table{"a": strings.Repeat("v", 1001)}}, `header "a"`, envelope{}},
		{amqp.Publishing{Headers: amqp.Table{strings.Repeat("n", 129): "1"}}, "the name of the header", envelope{}},
		{amqp.Publishing{Headers: many}, "more than 20 headers", envelope{}},
	}
	messages := make([]amqp.Publishing, len(bad))
	for i := range bad {
		messages[i] = bad[i].m
		messages[i].MessageId, messages[i].Body = fmt.Sprint("bad ", i), fmt.Append(nil, i)
	}
	app.PutAll(apptest.QueueName(tenant), messages)
	app.Publish(tenant, `"behind them"`)
	letters := deadLetters(t, app, tenant, "", len(bad))
	for i, letter := range letters {
		require.Equal(t, "invalid_headers", letter.Reason, i)
		require.Contains(t, letter.Error, bad[i].error)
	}
	require.Equal(t, "a\nb", *letters[0].Type)
	require.Equal(t, "k", *letters[0].OrderingKey)
	require.Equal(t, "1", letters[0].Headers["a"])
	require.Nil(t, letters[2].OrderingKey)
	require.Len(t, letters[2].Headers["x-ordering-key"], 129)
	require.Nil(t, letters[8].Type)
	require.Len(t, letters[8].Headers, 21)

	app.Want(http.StatusAccepted, nil, "POST", "/api/dead-letters/replay", `{"all":true}`, apptest.ForTenant(tenant))
	stored := app.Stored(tenant, len(good)+1+len(bad))[len(good)+1:]
	for i, m := range stored[:len(bad)-1] {
		require.Equal(t, bad[i].replay, envelopeOf(m), i)
	}
	require.Len(t, stored[len(bad)-1].Headers, 20)
	require.NotContains(t, stored[len(bad)-1].Headers, "name 20")
}

// A key is for a message with all that it carries.
func TestKeysAreForEnvelopes(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 1).ID
	key := apptest.WithKey("key")
	var first, again apptest.Accepted
	app.Want(http.StatusAccepted, &first, "POST", "/api/messages", `{"payload":1,"type":"t","headers":{"a":"1","b":"2"}}`, apptest.ForTenant(tenant), key)
	app.Want(http.StatusAccepted, &again, "POST", "/api/messages", `{"headers":{"b":"2","a":"1"},"ordering_key":"","type":"t","payload":1}`, apptest.ForTenant(tenant), key)
	require.Equal(t, first, again)
	for _, other := range []string{
		`{"payload":1}`, `{"payload":1,"type":"u","headers":{"a":"1","b":"2"}}`, `{"payload":1,"type":"t","headers":{"a":"1"}}`,
		`{"payload":1,"type":"t","ordering_key":"k","headers":{"a":"1","b":"2"}}`,
	} {
		app.Refused(http.StatusUnprocessableEntity, "idempotency_key_reused", "POST", "/api/messages", other, apptest.ForTenant(tenant), key)
	}
	app.Stored(tenant, 1)
}

// A message that reuses an id is the same only if it carries the same; else it
// is a dead letter, and the one that is stored stays.
func TestIDsAreForEnvelopes(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 1).ID
	id := uuid.NewString()
	message := func(typ string, headers amqp.Table) amqp.Publishing {
		return amqp.Publishing{MessageId: id, Type: typ, Headers: headers, Body: []byte(`1`)}
	}
	app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{
		message("t", amqp.Table{"a": "1"}), message("t", amqp.Table{"a": "1", "x-mine": "2"}), message("u", amqp.Table{"a": "1"}),
		message("t", amqp.Table{"a": "2"}), message("t", amqp.Table{"a": "1", "x-ordering-key": "k"}), message("t", nil),
	})
	letters := deadLetters(t, app, tenant, "", 4)
	types := map[string]int{}
	for _, letter := range letters {
		require.Equal(t, "id_conflict", letter.Reason)
		types[*letter.Type]++
	}
	require.Equal(t, map[string]int{"u": 1, "t": 3}, types)
	require.Equal(t, envelope{Type: "t", Headers: map[string]string{"a": "1"}}, envelopeOf(app.Stored(tenant, 1)[0]))

	// One that an earlier version has stored, which kept nothing of it.
	app.Exec(`UPDATE messages SET type = NULL, headers = NULL`)
	app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{message("t", amqp.Table{"a": "1"})})
	app.Settled(apptest.QueueName(tenant))
	deadLetters(t, app, tenant, "", 4)
	app.Stored(tenant, 1)
}

// What was refused for a reason that is mended is stored with all that it came
// with when it is sent again.
func TestReplaysKeepEnvelopes(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 1).ID
	app.Exec(`ALTER TABLE ` + apptest.PartitionName(tenant) + ` ADD CONSTRAINT refuse CHECK (payload <> '"bad"')`)
	app.Want(http.StatusAccepted, nil, "POST", "/api/messages", `{"payload":"bad","type":"t","ordering_key":"k","headers":{"a":"1","b":""}}`, apptest.ForTenant(tenant))
	app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{{
		Type: "a type", Body: []byte(`"bad"`), Headers: amqp.Table{"n": 1e-7, "big": 1e21, "i": int64(1) << 60, "yes": false, "price": amqp.Decimal{Scale: 1, Value: 5}, "bytes": []byte("text"), "list": []any{"a"}},
	}})
	letters := deadLetters(t, app, tenant, "", 2)
	require.Equal(t, "t", *letters[0].Type)
	require.Equal(t, "k", *letters[0].OrderingKey)
	require.Equal(t, "a type", *letters[1].Type)
	require.Nil(t, letters[1].OrderingKey)
	app.Exec(`ALTER TABLE ` + apptest.PartitionName(tenant) + ` DROP CONSTRAINT refuse`)
	for range 2 { // the second time they are stored already, and the same
		app.Want(http.StatusAccepted, nil, "POST", "/api/dead-letters/replay", `{"all":true}`, apptest.ForTenant(tenant))
		stored := app.Stored(tenant, 2)
		require.Equal(t, envelope{"t", "k", map[string]string{"a": "1", "b": ""}}, envelopeOf(stored[0]))
		require.Equal(t, envelope{"a type", "", map[string]string{
			"n": "0.0000001", "big": "1000000000000000000000", "i": "1152921504606846976", "yes": "false", "price": "5e-1", "bytes": "text",
		}}, envelopeOf(stored[1]))
		app.Exec(`UPDATE dead_letters SET replayed_at = NULL`)
	}
	app.Settled(apptest.QueueName(tenant))
	deadLetters(t, app, tenant, "", 2)
}

// Pages and streams are bounded by all that messages carry, and skip none.
func TestPagesOfLargeEnvelopes(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 2).ID
	var members []string
	for i := range 20 {
		members = append(members, fmt.Sprintf(`"name-%d":"%s"`, i, strings.Repeat("v", 1000)))
	}
	message := `{"payload":1,"headers":{` + strings.Join(members, ",") + `}}`
	const n, batches = 500, 20
	for range batches {
		app.Want(http.StatusAccepted, nil, "POST", "/api/messages/batch?envelope=true", strings.Repeat(message+"\n", n/batches), apptest.ForTenant(tenant), ndjson())
	}
	stored := app.Stored(tenant, n) // follows the cursors
	require.Len(t, stored[n-1].Headers, 20)
	page := app.Call("GET", "/api/messages?limit=1000", nil, apptest.ForTenant(tenant))
	require.Less(t, len(page.Body), 9<<20)
	require.Greater(t, len(page.Body), 7<<20)
	stream := app.Stream(tenant, "cursor=0")
	events, err := stream.Take(0, n)
	require.NoError(t, err)
	require.Equal(t, stored[n-1], events[n-1].Message)
}
