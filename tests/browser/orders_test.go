//go:build browser

package browser

import (
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/tests/apptest"
)

// manyLetters is how many fillLetters adds: more than a call works on by itself.
const manyLetters = 4000

// poison puts messages that nobody can store on a tenant's queue: one with markup, one
// that is no text, and one with what turns the direction of writing around.
func poison(app *apptest.App, tenant string) {
	app.PutAll("tenant_"+tenant+"_queue", []amqp.Publishing{
		{MessageId: "markup", Body: []byte(`<img src=x onerror=alert(1)>`), Headers: amqp.Table{"source": `<b>shop</b>`}},
		{MessageId: "bytes", Body: []byte("\xff\xfe\x00\x01 no text")},
		{MessageId: "turned", Body: []byte("not JSON \u202e.txt")},
	})
}

// large puts a message of 1 MiB that is no JSON on a tenant's queue.
func large(app *apptest.App, tenant string) {
	app.Put("tenant_"+tenant+"_queue", "large", "no JSON"+strings.Repeat("<p>", 1<<20/3))
}

// fillLetters records letters that a replay publishes to the tenant's queue.
func fillLetters(app *apptest.App, tenant string) {
	app.Exec(`
		INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, bytes)
		SELECT $1, gen_random_uuid(), 'order ' || n, convert_to('{"order":1}', 'UTF8'), '{}', 'unknown', 'rejected by ' || n, 1, 64
		FROM generate_series(1, $2::int) AS n`, tenant, manyLetters)
}
