package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// payloads are JSON texts that come back as they were sent.
func payloads() []string {
	table := []string{
		`{}`, `[]`, `null`, `true`, `false`, `""`, `0`, `-0`, `"text"`, ` { "spaces" : [ 1 , 2 ] } `,
		`{"text":"hello"}`, `{"":"empty name"}`, `[[],{},[[]],[null]]`,
		`"Grüße, 世界, мир, שלום, สวัสดี"`, `"🚀👩‍👩‍👧‍👦 \ud83d\ude80"`, `"\u00e9 e\u0301 \ufffd \uffff \u2028\u2029"`,
		`"quotes \" slash \/ backslash \\ \b\f\n\r\t \u001f \u007f"`, `"<script>&amp;</script>"`, `{"clé 🗝":{"\"":"\\"}}`,
		`1`, `-1`, `1.5`, `0.1`, `1e2`, `1E+2`, `100.00`, `1e-7`, `-2.5e-300`, `1.7976931348623157e308`, `1e400`, `1e999`, `1e-998`,
		`9007199254740993`, `12345678901234567890123456789012345678901234567890.000000000000000000000000000001`,
		`[9223372036854775807,-9223372036854775808,18446744073709551616]`,
		`{"a":null,"b":[1,"two",{"three":3.0}],"c":{"d":{"e":[]}}}`,
		strings.Repeat("[", 128) + strings.Repeat("]", 128),
		strings.Repeat(`{"a":`, 127) + `[1]` + strings.Repeat(`}`, 127),
		`"` + strings.Repeat("x", 200<<10) + `"`,
		`[` + strings.Repeat(`{"n":1234.5,"t":"äöü"},`, 8000) + `0]`,
		`"` + strings.Repeat("m", 1<<20-2) + `"`,
	}
	var names []string
	for i := range 1000 {
		names = append(names, fmt.Sprintf(`"name %d":%d`, i, i))
	}
	return append(table, "{"+strings.Join(names, ",")+"}")
}

func TestPayloadsComeBackAsSent(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("payloads", 0).ID
	sent := make(map[string]string)
	for _, payload := range payloads() {
		sent[app.Publish(tenant, payload)] = payload
	}
	for _, m := range app.Stored(tenant, len(sent)) {
		want, known := sent[m.ID]
		require.True(t, known)
		apptest.RequireSameJSON(t, want, string(m.Payload))
		var one apptest.Message
		app.Want(http.StatusOK, &one, "GET", "/api/messages/"+m.ID, nil, apptest.ForTenant(tenant))
		require.Equal(t, m, one)
	}
	app.RequireNoDeadLetters(tenant)
}

// The same through the queue, where no HTTP has looked at them.
func TestPayloadsFromTheQueueComeBackAsSent(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("payloads", 1).ID
	for _, payload := range payloads() {
		app.Put(apptest.QueueName(tenant), "", payload)
	}
	for i, m := range app.Stored(tenant, len(payloads())) {
		apptest.RequireSameJSON(t, payloads()[i], string(m.Payload))
	}
}

// Where keys repeat, the last counts; this is not kept, and the README says so.
func TestRepeatedNamesInPayload(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("payloads", 0).ID
	app.Publish(tenant, `{"a":1,"b":2,"a":3}`)
	require.JSONEq(t, `{"a":3,"b":2}`, string(app.Stored(tenant, 1)[0].Payload))
}
