package postman

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

const introduction = `Multi-tenant messaging: every tenant has a queue, a consumer, workers and a history of its own.

Choose the environment beside this collection, and set base_url, and email and password unless the service is in open mode. Then send the requests of the folder Tour one by one, or run the folder: each uses what those before it have noted. receiver_url is where messages are delivered to; the tour is about one that refuses them, as example.com does.

Generated of docs/openapi.json.`

// station is a folder of the tour.
type station struct {
	name, text string
	steps      []step
}

// step is a request of the tour.
type step struct {
	name, operation string
	// given are values of parameters, and body what is sent in the place of the example.
	given map[string]string
	body  any
	// needs is a variable without which the request is left out.
	needs string
	// await is what has to be true of the answer before the tour goes on: it is asked for
	// again until then. check is what has to be true of it.
	await, check string
	// notes are variables that are set from the answer.
	notes map[string]string
}

func stations() []station {
	return []station{
		{"1 Log in", "In open mode there is nothing to do: without an email in the environment, logging in is left out.", []step{
			{name: "Log in", operation: "login", needs: "email", body: map[string]any{"email": "{{email}}", "password": "{{password}}"}, notes: map[string]string{"token": "answer.token"}},
			{name: "Who am I?", operation: "getMe", check: "answer.role !== undefined"},
		}},
		{"2 A tenant", "A customer, with a queue, a consumer, workers and a history of its own.", []step{
			{name: "Create a tenant", operation: "createTenant", notes: map[string]string{"tenant_id": "answer.id"}},
			{name: "Wait until it is active", operation: "getTenant", await: `answer.status === "active"`},
			{name: "Give it five workers", operation: "setWorkers", check: "answer.workers === 5"},
		}},
		{"3 Publish", "202 means that the broker has confirmed the message.", []step{
			{name: "Publish a message", operation: "publishMessage", given: map[string]string{"Idempotency-Key": "order-1842"}, notes: map[string]string{"message_id": "answer.id"}},
			{
				name: "Publish it again, which is safe", operation: "publishMessage", given: map[string]string{"Idempotency-Key": "order-1842"},
				check: `answer.id === pm.environment.get("message_id") && pm.response.headers.get("Idempotent-Replayed") === "true"`,
			},
			{name: "Publish many", operation: "publishMessages", check: "answer.rejected === 0"},
		}},
		{"4 The history", "Every message is stored once, with a seq without holes.", []step{
			{name: "Read the history", operation: "listMessages", given: map[string]string{"limit": "50"}, await: "answer.data.length >= 2", check: "answer.data[0].seq === 1"},
			{name: "Get the message", operation: "getMessage", check: `answer.payload.text === "hello"`},
			{name: "Get a ticket to follow the history", operation: "createStreamTicket", check: "answer.ticket.length > 0"},
		}},
		{"5 An endpoint", "Delivers messages to receiver_url, signed. This one gives up soon, so that there is something to see at the next station.", []step{
			{
				name: "Create an endpoint", operation: "createEndpoint", notes: map[string]string{"endpoint_id": "answer.id"}, check: `answer.secret.startsWith("whsec_")`,
				body: map[string]any{"url": "{{receiver_url}}", "description": "Orders for the warehouse", "types": []string{"order.*"}, "retry": map[string]any{"schedule": []string{"1s"}, "final": []int{404, 405}}},
			},
			{name: "Send it a test message", operation: "testEndpoint", check: "answer.duration_ms !== undefined"},
			{name: "Publish a message for it", operation: "publishMessage", notes: map[string]string{"message_id": "answer.id"}},
			{name: "See the attempts", operation: "listEndpointAttempts", await: "answer.data.length > 0"},
			{name: "See how it does", operation: "getEndpoint", check: `answer.status === "active"`},
		}},
		{"6 Dead letters", "What was given up, with the reason.", []step{
			{name: "List dead letters", operation: "listDeadLetters", await: "answer.data.length > 0", notes: map[string]string{"dead_letter_id": "answer.data[0].id"}},
			{name: "Look at one", operation: "getDeadLetter", check: `answer.reason === "delivery_failed"`},
			{name: "Group them", operation: "groupDeadLetters", check: "answer.data.length > 0"},
			{name: "Send them again", operation: "replayDeadLetters", check: "answer.replayed + answer.skipped > 0"},
			{name: "Purge them", operation: "purgeDeadLetters", check: "answer.deleted !== undefined"},
		}},
		{"7 Looking back", "What was used, and who did what.", []step{
			{name: "Show usage", operation: "listUsage", check: "Array.isArray(answer.data)"},
			{name: "Show the audit log", operation: "listAuditEntries", check: "answer.data.length > 0", given: map[string]string{"tenant_id": "{{tenant_id}}"}},
		}},
		{"8 Clean up", "Nothing of the tenant is left.", []step{
			{name: "Delete the endpoint", operation: "deleteEndpoint"},
			{name: "Delete the tenant", operation: "deleteTenant"},
		}},
	}
}

// attempts is how often an answer is asked for, and pause how long in between, in
// milliseconds.
const (
	attempts = 60
	pause    = 250
)

// item returns the step as a request with scripts.
func (s *step) item(folder string, o *operation) (item, error) {
	r, err := o.request(s.given, s.body)
	if err != nil {
		return item{}, err
	}
	i := item{ID: id(folder + " " + s.name), Name: s.name, Request: r}
	if s.needs != "" {
		i.Events = append(i.Events, event{"prerequest", script{"text/javascript", []string{
			fmt.Sprintf("if (!pm.environment.get(%q)) pm.execution.skipRequest();", s.needs),
		}}})
	}
	statuses := strings.Join(o.successes(), ", ")
	lines := []string{
		fmt.Sprintf(`pm.test("answers %s", () => pm.expect(pm.response.code).to.be.oneOf([%s]));`, statuses, statuses),
	}
	if s.await != "" || s.check != "" || len(s.notes) > 0 {
		lines = append(lines, "const answer = pm.response.json();")
	}
	end := []string(nil)
	if s.await != "" {
		lines = append(lines,
			`const tried = Number(pm.variables.get("tried") || 0) + 1;`,
			fmt.Sprintf("if (!(%s) && tried < %d) {", s.await, attempts),
			`  pm.variables.set("tried", tried);`,
			fmt.Sprintf("  setTimeout(() => {}, %d);", pause),
			"  pm.execution.setNextRequest(pm.info.requestId);",
			"} else {",
			`  pm.variables.unset("tried");`,
			fmt.Sprintf(`  pm.test(%q, () => pm.expect(%s).to.be.true);`, s.await, s.await),
		)
		end = []string{"}"}
	}
	for _, name := range slices.Sorted(maps.Keys(s.notes)) {
		lines = append(lines, fmt.Sprintf(`pm.environment.set(%q, %s);`, name, s.notes[name]))
	}
	if s.check != "" {
		lines = append(lines, fmt.Sprintf(`pm.test(%q, () => pm.expect(%s).to.be.true);`, s.check, s.check))
	}
	lines = append(lines, end...)
	i.Events = append(i.Events, event{"test", script{"text/javascript", lines}})
	return i, nil
}
