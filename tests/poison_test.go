package tests

import (
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// What can never be stored ends in the dead-letter queue with the reason, and
// what comes after it is stored.
func TestPoisonOnTheQueue(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.LeaveDeadLetters())
	tenant := app.CreateTenant("poisoned", 1).ID
	queue := apptest.QueueName(tenant)
	poison := []string{
		``, ` `, `not JSON`, `{"a":1`, `{"a":1}}`, `{'a':1}`, `[1,]`, `NaN`, `01`, `+1`, `.5`, `"tab	inside"`, "\xff\xfe", "\x00",
		"\"\xc3\x28\"", `"\u0000"`, `{"\u0000":1}`, `"\ud83d"`, `"\ude80\ud83d"`, `"\ud83dx"`,
		`1e999999`, `-1e131071`, `1e-200000`, `[1e131071,1e131071]`, `[` + strings.Repeat(`1e999,`, 4000) + `1]`,
		strings.Repeat("[", 129) + strings.Repeat("]", 129), strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000),
		strings.Repeat("[", 100_000), `"` + strings.Repeat("x", 1<<20) + `"`,
	}
	for i, body := range poison {
		app.Put(queue, fmt.Sprint("poison ", i), body)
		app.Put(queue, "", fmt.Sprintf(`"after %d"`, i))
	}
	stored := app.Stored(tenant, len(poison))
	for i, m := range stored {
		require.JSONEq(t, fmt.Sprintf(`"after %d"`, i), string(m.Payload))
	}
	letters := app.Take(apptest.DeadLetterQueueName(tenant), len(poison))
	for i, letter := range letters {
		require.Equal(t, fmt.Sprint("poison ", i), letter.MessageId)
		require.Equal(t, poison[i], string(letter.Body))
		require.Equal(t, "invalid_payload", letter.Headers["x-reason"], "%.100s", poison[i])
		require.NotEmpty(t, letter.Headers["x-error"])
		require.EqualValues(t, 1, letter.Headers["x-attempts"])
	}
	apptest.Await(t, apptest.Long, func() error {
		return app.Metrics().Is(float64(len(poison)), "lanekeeper_messages_total", "tenant_id", tenant, "outcome", "dead_lettered")
	})
	app.Stop()
	requireAllAcknowledged(t, app.Probes, []string{tenant})
}

// Whatever the headers hold, it is kept or it is left out, but it holds up no
// other message.
func TestPoisonWithStrangeHeaders(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.LeaveDeadLetters())
	tenant, other := app.CreateTenant("strange", 1).ID, app.CreateTenant("other", 1).ID
	many := amqp.Table{}
	for i := range 2000 {
		many[fmt.Sprint("header number ", i)] = strings.Repeat("v", 30)
	}
	deep := amqp.Table{"end": "here"}
	for range 25 {
		deep = amqp.Table{"in": deep}
	}
	headers := []amqp.Table{
		{"x-reason": "forged", "x-attempts": "many", "x-death": []any{amqp.Table{"count": int64(99)}}, "kept": "yes"},
		{"CC": []any{"elsewhere"}, "BCC": []any{apptest.QueueName(other)}},
		{"types": []any{nil, true, int8(-1), int16(2), int32(3), int64(4), float32(5), 6.5, "s", []byte{0, 255}, amqp.Decimal{Scale: 2, Value: 314}}},
		{"x-published-ms": "yesterday", "x-delivery-count": int64(5000), "": "no name"},
		deep, many,
		{"huge": strings.Repeat("h", 120<<10)},
		{"to the brim": strings.Repeat("h", 130_700)},
	}
	var messages []amqp.Publishing
	for _, h := range headers {
		messages = append(messages, amqp.Publishing{
			Headers: h, Body: []byte("poison"), MessageId: strings.Repeat("i", 200), Type: "type", ReplyTo: "reply", CorrelationId: "c",
		})
	}
	for _, m := range messages {
		app.PutAll(apptest.QueueName(tenant), []amqp.Publishing{m})
	}
	app.Put(apptest.QueueName(tenant), "", `"after"`)
	letters := app.Take(apptest.DeadLetterQueueName(tenant), len(messages))
	for _, letter := range letters {
		require.Equal(t, "invalid_payload", letter.Headers["x-reason"])
		require.Equal(t, "poison", string(letter.Body))
	}
	require.Equal(t, "yes", letters[0].Headers["kept"])
	require.Equal(t, headers[2]["types"], letters[2].Headers["types"])
	require.NotContains(t, letters[0].Headers, "x-death")
	app.Stored(tenant, 1)
	app.Publish(other, `"not disturbed"`)
	app.Stored(other, 1)
}

// A flood of poison for one tenant keeps no other from being served.
func TestPoisonInFloods(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.LeaveDeadLetters())
	tenant, other := app.CreateTenant("flooded", 2).ID, app.CreateTenant("other", 2).ID
	var flood []amqp.Publishing
	for i := range 1000 {
		body := "poison"
		if i%10 == 0 {
			body = fmt.Sprint(i)
		}
		flood = append(flood, amqp.Publishing{Body: []byte(body)})
	}
	app.PutAll(apptest.QueueName(tenant), flood)
	for i := range 20 {
		app.Publish(other, fmt.Sprint(i))
	}
	app.Stored(other, 20)
	app.Stored(tenant, 100)
	app.Take(apptest.DeadLetterQueueName(tenant), 900)
}
