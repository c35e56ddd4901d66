package tests

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/docs/openapitest"
	"lanekeeper/tests/apptest"
)

// requestsEach is how many requests each operation gets for a seed.
const requestsEach = 10

// propertySeed is the environment variable with the only seed to be tried, for a
// failure that is to be seen again.
const propertySeed = "PROPERTY_SEED"

// Whatever is sent to an operation of openapi.json, valid or not: the answer is one
// that the document has, never 5xx, and an error is a whole problem document.
func TestAnswersAreDocumented(t *testing.T) {
	t.Parallel()
	w := newPropertyWorld(t)
	seeds := []int{1, 2, 1000 + rand.IntN(1_000_000)}
	if text := os.Getenv(propertySeed); text != "" {
		seed, err := strconv.Atoi(text)
		require.NoError(t, err)
		seeds = []int{seed}
	}
	for _, seed := range seeds {
		t.Logf("the same again: %s=%d", propertySeed, seed)
		for i := range w.operations {
			w.try(&w.operations[i], w.operations[i].seed(seed))
		}
	}
	calls := 0
	for _, o := range w.operations {
		t.Logf("%s: %v", o.name, o.statuses)
		accepted := 0
		for status, n := range o.statuses {
			calls += n
			if status < 300 || status == o.route.also {
				accepted += n
			}
		}
		require.Positive(t, accepted, "%s: nothing was accepted: %v", o.name, o.statuses)
		if o.route.role == "" && len(o.document.Parameters) == 0 && o.document.RequestBody == nil {
			continue // anybody may, and there is nothing that could be wrong
		}
		require.Less(t, accepted, requestsEach*len(seeds), "%s: nothing was refused", o.name)
	}
	t.Logf("%d operations, %d calls", len(w.operations), calls)
	var ready struct{ Status string }
	w.app.Want(http.StatusOK, &ready, "GET", "/readyz", nil)
	require.Equal(t, "ready", ready.Status)
}

// propertyOperation is an operation of openapi.json.
type propertyOperation struct {
	name, method, path string
	document           *openapi3.Operation
	route              matrixRoute
	statuses           map[int]int // how many answers had which
}

// seed is where the requests for a seed begin: for each operation somewhere else, and in
// the same place whatever other operations there are.
func (o *propertyOperation) seed(n int) int {
	name := fnv.New32a()
	_, _ = name.Write([]byte(o.name))
	return 1000*n + int(name.Sum32())
}

// example is a body that is accepted.
func (o *propertyOperation) example() string {
	switch o.name {
	case "POST /login":
		return `{"email":"carol@example.com","password":"` + apptest.Password + `"}`
	case "PUT /me/password":
		return `{"current":"` + apptest.Password + `","new":"plum otter 91 lantern sky"}`
	case "POST /tenants/{id}/endpoints/{endpoint_id}/rotate-secret":
		return `{}`
	}
	return o.route.body
}

// propertyWorld is the world of the matrix, with fewer callers.
type propertyWorld struct {
	*matrixWorld

	operations []propertyOperation
	clients    map[string]*apptest.Client
	leaving    *apptest.Client // who logs out and changes the password; nil for nobody
}

func newPropertyWorld(t *testing.T) *propertyWorld {
	t.Helper()
	unlimited := func(c *config.Config) { c.Limits.TenantsPerMinute, c.Limits.EndpointsPerTenant = 0, 0 }
	m := &matrixWorld{t: t, app: apptest.Boot(t, apptest.WithSecret(), apptest.Delivering(), apptest.ManagingUsers(t), unlimited)}
	w := &propertyWorld{matrixWorld: m, operations: propertyOperations(t)}
	m.app.AddUser("root@example.com", "admin", "")
	m.app.AddUser("ada@example.com", "member", "")
	m.app.AddUser("bob@example.com", "member", "")
	m.app.AddUser("carol@example.com", "viewer", "")
	m.root, m.ada = m.app.LoggedIn("root@example.com"), m.app.LoggedIn("ada@example.com")
	bob := m.app.LoggedIn("bob@example.com")
	m.acme, m.other = m.furnish(m.ada, "canary-acme"), m.furnish(bob, "canary-other")
	_, viewer := m.user("viewer", "viewer", m.acme.tenant)
	key := m.ada.CreateAPIKey(m.acme.tenant, "publish", "read", "manage")
	nobody := m.app.As("").From("127.0.0.2") // whose wrong passwords are nobody else's
	w.clients = map[string]*apptest.Client{
		"admin": m.root, "owner": m.ada, "stranger": bob, "viewer": viewer, "key": m.app.By(&key), "nobody": nobody, "nonsense": m.app.As("Bearer nonsense"),
	}
	return w
}

func propertyOperations(t *testing.T) []propertyOperation {
	t.Helper()
	document, err := openapitest.Load()
	require.NoError(t, err)
	table := matrixRoutes()
	var operations []propertyOperation
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			name := method + " " + path
			require.Contains(t, table, name, "say in matrixRoutes what this route is to do")
			operations = append(operations, propertyOperation{name, method, path, operation, table[name], make(map[int]int)})
		}
	}
	slices.SortFunc(operations, func(a, b propertyOperation) int { return strings.Compare(a.name, b.name) })
	return operations
}

// try sends requests to an operation: the first as in its example, a quarter as
// documented, a quarter with little that is not, and the others with much.
func (w *propertyWorld) try(o *propertyOperation, seed int) {
	w.t.Helper()
	for i := range requestsEach {
		r := propertyRequest{method: o.method, path: o.path, headers: []apptest.Header{{"X-Tenant-ID", "$tenant"}}}
		if body := o.example(); o.document.RequestBody != nil {
			r.body = &body
		}
		if i > 0 {
			r = o.requests([]int{0, 1, 4, 7}[i%4]).Example(seed + i)
		}
		answer := w.answer(o, &r)
		o.statuses[answer.Status]++
		if err := w.check(o, &r, answer); err != nil {
			w.t.Errorf("%s: %v\n%v\nanswer %d %v\n%.3000s", o.name, err, &r, answer.Status, answer.Header, answer.Body)
		}
	}
	// What was stopped or set to rest goes on, and there is a letter again.
	w.acme.letter = w.addLetter(w.acme.tenant, w.acme.canary)
	w.root.SetStatus(w.acme.tenant, "active")
	w.root.Want(http.StatusAccepted, nil, "POST", "/api/consumers", nil)
}

// caller returns who sends a request.
func (w *propertyWorld) caller(o *propertyOperation, who string) *apptest.Client {
	w.t.Helper()
	switch {
	case o.name == "POST /logout" || o.name == "PUT /me/password":
		if who != "" && who != "admin" && who != "owner" && who != "stranger" {
			return w.clients[who]
		}
		if w.leaving == nil || w.leaving.Call("GET", "/api/me", nil).Status != http.StatusOK {
			w.fresh++
			_, w.leaving = w.user(fmt.Sprint("leaving-", w.fresh), "viewer", "")
		}
		return w.leaving
	case o.name == "POST /login":
		return w.clients["nobody"]
	case who != "":
		return w.clients[who]
	case o.route.role == "admin":
		return w.root
	}
	return w.ada
}

// answer sends a request, with ids in it, and reads the answer.
func (w *propertyWorld) answer(o *propertyOperation, r *propertyRequest) *apptest.Answer {
	w.t.Helper()
	return w.send(w.caller(o, r.who), o, r)
}

// send has client send a request, with ids in it, and reads the answer.
func (w *propertyWorld) send(client *apptest.Client, o *propertyOperation, r *propertyRequest) *apptest.Answer {
	w.t.Helper()
	b := w.freshly(o.name)
	if o.name == "POST /messages/stream/tickets" || o.name == "GET /messages/stream" {
		w.acme.ticket = w.ticket(w.ada, w.acme.tenant)
	}
	if r.foreign {
		b = w.other
	}
	filled := strings.NewReplacer("$tenant", b.tenant, "$endpoint", b.endpoint, "$message", b.message, "$user", b.user, "$letter", b.letter,
		"$ticket", w.acme.ticket, "$fresh", fmt.Sprint(w.fresh))
	path := o.route.call(r.method+" "+r.path, &b, w.fresh).path
	query := filled.Replace(r.query)
	var headers []apptest.Header
	for _, h := range r.headers {
		headers = append(headers, apptest.Header{h[0], filled.Replace(h[1])})
	}
	if o.name == "GET /messages/stream" && !r.strayed {
		return w.stream(client, query, headers)
	}
	var body any
	if r.body != nil {
		body = filled.Replace(*r.body)
	}
	answer, err := client.Send(w.t.Context(), r.method, "/api"+path+"?"+query, body, headers...)
	require.NoError(w.t, err, "%v", r)
	return answer
}

// stream opens a stream and closes it again.
func (w *propertyWorld) stream(client *apptest.Client, query string, headers []apptest.Header) *apptest.Answer {
	w.t.Helper()
	s, err := client.TryStream(w.t.Context(), query, headers...)
	if refused, ok := errors.AsType[*apptest.RefusedError](err); ok {
		return refused.Answer
	}
	require.NoError(w.t, err)
	defer s.Close()
	return &apptest.Answer{Status: http.StatusOK, Header: s.Header}
}

// check returns what is wrong with an answer.
func (w *propertyWorld) check(o *propertyOperation, r *propertyRequest, answer *apptest.Answer) error {
	if answer.Status >= http.StatusInternalServerError {
		return errors.New("it is the service that failed")
	}
	if answer.Status >= http.StatusBadRequest {
		problem, err := answer.Problem()
		switch {
		case err != nil:
			return err
		case problem.Detail == "" || problem.Title != http.StatusText(problem.Status) || problem.RequestID != answer.Header.Get("X-Request-ID"):
			return errors.New("not a problem as all are")
		case answer.Status == http.StatusTooManyRequests && answer.Header.Get("Retry-After") == "":
			return errors.New("it does not say when to try again")
		}
		if r.strayed && (answer.Status == http.StatusNotFound || answer.Status == http.StatusMethodNotAllowed) {
			return nil
		}
	}
	if o.name == "GET /messages/stream" && answer.Status == http.StatusOK {
		if media := answer.Header.Get("Content-Type"); !strings.HasPrefix(media, "text/event-stream") {
			return fmt.Errorf("a stream of %q", media)
		}
		return nil
	}
	request := &http.Request{Method: o.method, URL: &url.URL{Path: "/api" + o.path}, Header: make(http.Header)}
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: request, Route: &routers.Route{Path: o.path, Method: o.method, Operation: o.document},
		},
		Status: answer.Status, Header: answer.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	input.SetBodyBytes(answer.Body)
	return openapi3filter.ValidateResponse(w.t.Context(), input)
}
