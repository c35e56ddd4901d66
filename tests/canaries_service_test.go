package tests

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/docs"
	"lanekeeper/domain"
	"lanekeeper/tests/apptest"
	"lanekeeper/tests/proxy"
)

// panicking is a publisher that panics for messages of one type.
type panicking struct{ domain.Publisher }

// Publish implements domain.Publisher.
func (p panicking) Publish(ctx context.Context, tenantID uuid.UUID, messages []domain.Outgoing) []error {
	if len(messages) == 1 && messages[0].Type == "panic" {
		panic("planted")
	}
	return p.Publisher.Publish(ctx, tenantID, messages) //nolint:wrapcheck // passes on
}

// canaryService is the service with a canary in every secret that it has or makes.
type canaryService struct {
	*apptest.App

	c          *canaries
	log        func() string
	admin, ada *apptest.Client
	ids        map[string]string // of what is in paths, by name
	told       []string          // secrets for requests that are refused
	proxies    map[string]*proxy.Proxy
}

func newCanaryService(t *testing.T) *canaryService {
	t.Helper()
	c := newCanaries()
	settings := plantedSettings(t, c)
	proxies := behindProxies(t, settings)
	maps.Copy(settings, map[string]string{
		"app_host": `"127.0.0.1"`, "app_port": "0", "admin_port": strconv.Itoa(freePort(t)), "data_dir": strconv.Quote(t.TempDir()),
		"metrics.public": "true", "delivery.allow_private": "true", "database.max_connections": "10",
	})
	read, err := config.Read(writeSettings(t, settings))
	require.NoError(t, err)
	s := &canaryService{App: apptest.New(t, func(o *config.Config) { *o = read }), c: c, proxies: proxies}
	s.log = s.RecordLog()
	s.Decorators.Publisher = func(p domain.Publisher) domain.Publisher { return panicking{p} }
	s.Start()
	return s
}

// secret takes what the service has just made, or was given, for a canary.
func (s *canaryService) secret(name, value string, shown ...string) string {
	s.c.note(name, value, shown...)
	s.told = append(s.told, value)
	return value
}

// furnish makes one of everything that has a secret.
func (s *canaryService) furnish(t *testing.T) {
	t.Helper()
	s.AddUser("root@example.com", "admin", "")
	s.admin = s.LoggedIn("root@example.com")
	password := s.secret("password", s.c.fresh("password"))
	var user struct{ ID string }
	s.admin.Want(http.StatusCreated, &user, "POST", "/api/users", map[string]string{"name": "Ada", "email": "ada@example.com", "password": password, "role": "member"})
	var login apptest.Token
	s.Want(http.StatusOK, &login, "POST", "/api/login", map[string]string{"email": "ada@example.com", "password": password})
	s.secret("token", login.Token[strings.LastIndexByte(login.Token, '.')+1:])
	s.ada = s.As(login.Token)
	tenant := s.ada.CreateTenant("canaries", 0).ID
	key, own := s.ada.CreateAPIKey(tenant, "publish", "read", "manage"), s.ada.CreateAPIKey("", "read")
	s.secret("API key", key.Key[len(key.Key)-72:])
	s.secret("API key of an owner", own.Key[len(own.Key)-72:])
	amqp := s.ada.IssueAMQP(tenant)
	s.secret("AMQP password", amqp.Password)
	s.secret("AMQP password, rotated", s.ada.IssueAMQP(tenant).Password)
	var ticket struct{ Ticket string }
	s.ada.Want(http.StatusCreated, &ticket, "POST", "/api/messages/stream/tickets", nil, apptest.ForTenant(tenant))
	s.secret("ticket", ticket.Ticket)
	link := s.ada.PortalLink(tenant, "read", "manage").Token
	s.secret("portal link", link[strings.LastIndexByte(link, '.')+1:])
	s.As(link).Want(http.StatusOK, nil, "GET", "/api/tenants/"+tenant, nil)

	receiver := apptest.NewReceiver(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	more := func(name string) map[string]any {
		return map[string]any{"headers": map[string]string{"X-Key": s.secret(name, s.c.fresh(name))}}
	}
	query := func(name string) string { return "?token=" + s.secret(name, s.c.fresh(name), "answers", "database") } // the owner's own
	e := s.ada.CreateEndpoint(tenant, receiver.URL()+query("query of an endpoint"), more("header of an endpoint"))
	s.secret("secret of an endpoint", e.Secret)
	var rotated apptest.Endpoint
	s.ada.Want(http.StatusOK, &rotated, "POST", e.Path()+"/rotate-secret", nil)
	s.secret("secret of an endpoint, rotated", rotated.Secret)
	away := s.ada.CreateEndpoint(tenant, "http://127.0.0.1:1/hook"+query("query of an endpoint that is away"), more("header of an endpoint that is away"))
	s.secret("secret of an endpoint that is away", away.Secret)
	message := s.ada.Publish(tenant, `"`+s.c.fresh("payload", "answers", "database")+`"`)
	s.ada.Stored(tenant, 1)
	apptest.Await(t, apptest.Long, func() error {
		for _, d := range s.ada.Deliveries(tenant, message) {
			if d.Attempts == 0 {
				return apptest.NotYet("no attempt at %s", d.EndpointID)
			}
		}
		return nil
	})
	s.ids = map[string]string{"tenant_id": tenant, "endpoint_id": e.ID, "key_id": key.ID, "message": message, "user": user.ID}
}

// failures makes calls that go wrong, with secrets wherever a caller may put them by
// mistake.
func (s *canaryService) failures() {
	s.ExpectError("handler panicked")
	s.ExpectError("request")
	tenant := apptest.ForTenant(s.ids["tenant_id"])
	look := func(call string, answer *apptest.Answer) {
		s.c.look("answers: "+call, string(answer.Body)+fmt.Sprint(answer.Header))
	}
	look("a panic", s.ada.Call("POST", "/api/messages", `{"payload":"`+s.told[0]+`","type":"panic"}`, tenant))
	for i, secret := range s.told {
		caller := s.From(fmt.Sprintf("127.0.0.%d", 10+i)) // wrong passwords and keys are counted by address
		for _, header := range []string{secret, "Bearer " + secret, "Basic " + secret} {
			look("a wrong token", caller.As(header).Call("GET", "/api/tenants", nil))
		}
		look("a wrong password", caller.Call("POST", "/api/login", map[string]string{"email": "ada@example.com", "password": secret + "x"}))
		look("a body that is none", caller.Call("POST", "/api/login", `{"password": "`+secret))
		look("an unknown field", s.ada.Call("POST", "/api/tenants", `{"name":"x","secret":"`+secret+`"}`))
		look("a wrong type", s.ada.Call("POST", "/api/messages", `{"payload":1,"headers":"`+secret+`"}`, tenant))
		look("a weak password", s.ada.Call("PUT", "/api/me/password", map[string]string{"current": secret + "x", "new": secret[:8]}))
		look("an endpoint that is refused", s.ada.Call("POST", "/api/tenants/"+s.ids["tenant_id"]+"/endpoints", map[string]any{"url": "ftp://user:" + secret + "@127.0.0.1/"}))
		look("a header that is refused", s.ada.Call("POST", "/api/tenants/"+s.ids["tenant_id"]+"/endpoints", map[string]any{"url": "http://127.0.0.1:1/", "headers": map[string]string{"Host": secret}}))
		look("a wrong ticket", caller.Call("GET", "/api/messages/stream?ticket="+secret+"x", nil, tenant))
		for _, path := range []string{"/api/", "/api/tenants/", "/api/messages/stream/tickets/"} { // the answer says what was asked for
			s.ada.Call("GET", path+secret, nil, tenant)
			s.As("").Call("DELETE", path+secret+"/x", nil)
		}
		look("a wrong query", s.ada.Call("GET", "/api/messages?cursor="+secret, nil, tenant))
	}
}

// read looks at everything that can be read.
func (s *canaryService) read(t *testing.T) {
	t.Helper()
	document, err := openapi3.NewLoader().LoadFromData(docs.OpenAPI)
	require.NoError(t, err)
	replace := strings.NewReplacer("{tenant_id}", s.ids["tenant_id"], "{endpoint_id}", s.ids["endpoint_id"], "{key_id}", s.ids["key_id"], "{replay_id}", s.ids["message"])
	for path, item := range document.Paths.Map() {
		if item.Get == nil || path == "/messages/stream" {
			continue
		}
		id := s.ids["tenant_id"]
		switch {
		case strings.HasPrefix(path, "/messages"):
			id = s.ids["message"]
		case strings.HasPrefix(path, "/users"):
			id = s.ids["user"]
		case strings.HasPrefix(path, "/dead-letters"):
			id = "1"
		}
		for _, who := range []*apptest.Client{s.admin, s.ada, s.As("")} {
			answer := who.Call("GET", "/api"+strings.ReplaceAll(replace.Replace(path), "{id}", id), nil, apptest.ForTenant(s.ids["tenant_id"]))
			s.c.look("answers: GET "+path, string(answer.Body)+fmt.Sprint(answer.Header))
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/openapi.json", "/swagger/index.html", "/swagger/doc.json", "/swagger/swagger-initializer.js", "/"} {
		s.c.look("pages: "+path, string(s.Call("GET", path, nil).Body))
	}
	admin := s.At(fmt.Sprintf("http://127.0.0.1:%d", s.Config.AdminPort))
	for _, path := range []string{
		"/metrics", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/symbol", "/debug/vars", "/",
	} {
		s.c.look("pages: admin "+path, string(admin.Call("GET", path, nil).Body))
	}
	for _, table := range apptest.Query[string](s.Probes, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'`) {
		s.c.look("database: "+table, apptest.QueryRow[string](s.Probes, `SELECT coalesce(string_agg(t::text, ' '), '') FROM "`+table+`" t`))
	}
}

// Secrets of the configuration, of users, and of tenants are in no answer but the one
// that they are made with, in no log at any level, no page, no metric, no table, and no
// report of a command, whatever goes wrong.
func TestNobodyIsToldSecrets(t *testing.T) {
	t.Parallel()
	s := newCanaryService(t)
	s.furnish(t)
	s.failures()
	s.read(t)
	file := writeSettings(t, settingsOf(t, s.Config))
	for _, args := range [][]string{{"doctor"}, {"audit"}, {"audit", "-o", "json"}, {"key", "list", "--database"}, {"migrate", "status"}, {"healthcheck"}, {"encrypt"}, {"version"}} {
		s.c.look("commands: "+strings.Join(args, " "), runCommand(t, file, args...))
	}
	gone := s.ada.CreateTenant("gone", 0).ID
	s.ada.Delete(gone)
	s.outage(t)
	s.Stop()
	log := s.log()
	require.Contains(t, log, "handler panicked")
	require.Contains(t, log, `"level":"DEBUG"`)
	require.Contains(t, log, "connection refused")
	s.c.look("log: of the service", log)
	s.c.none(t)
}

// settingsOf returns what the commands need of a configuration.
func settingsOf(t *testing.T, c config.Config) map[string]string {
	t.Helper()
	return map[string]string{
		"database.url": strconv.Quote(c.Database.URL), "database.admin_url": strconv.Quote(c.Database.AdminURL), "rabbitmq.url": strconv.Quote(c.RabbitMQ.URL),
		"rabbitmq.management_url": strconv.Quote(c.RabbitMQ.ManagementURL), "jwt_secret": strconv.Quote(c.JWTSecret),
		"encryption_keys": `["` + strings.Join(c.EncryptionKeys, `","`) + `"]`, "redis.url": strconv.Quote(c.Redis.URL),
		"app_host": `"127.0.0.1"`, "admin_port": "0", "data_dir": strconv.Quote(t.TempDir()),
	}
}
