package controller

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
)

// DefaultTimeout is how long a request may take unless Options says otherwise:
// answers are promised within 6 seconds.
const DefaultTimeout = 5500 * time.Millisecond

// The sizes of bodies.
const (
	controlBody = 64 << 10
	messageBody = 16 << 20
)

// anyone is the role of routes that need no token.
const anyone domain.Role = ""

// authService tells who calls.
type authService interface {
	Authenticate(ctx context.Context, authorization string) (domain.Principal, error)
	// Recheck returns the caller as it is now, or an ErrUnauthenticated.
	Recheck(ctx context.Context, p domain.Principal) (domain.Principal, error)
}

// tenantDirectory knows the tenants.
type tenantDirectory interface {
	Lookup(ctx context.Context, id uuid.UUID) (domain.Tenant, error)
}

// bodyMemory is what the bodies of requests may take. Reserve returns false when
// there is not enough, for all or for the owner.
type bodyMemory interface {
	Reserve(owner string, n int64) bool
	Release(owner string, n int64)
}

// Options is what New needs. All but the fields that say otherwise must be
// set.
type Options struct {
	Auth      authService
	Login     loginService
	Users     userService
	Tenants   tenantService
	Directory tenantDirectory
	Messages  messageService
	Endpoints endpointService
	Consumers consumerService
	Letters   deadLetterService
	Streams   streamService
	Tickets   ticketService

	// Ready answers /readyz: in a word, whether requests should come, and how
	// each server that is needed does.
	Ready func(ctx context.Context) (status string, ready bool, details map[string]string)
	// Metrics answers /metrics; nil when that is served elsewhere.
	Metrics http.Handler
	// Observe is told of every request; may be nil.
	Observe func(route, method string, status int, seconds float64)
	// StreamDropped is told of every stream whose client did not read; may be
	// nil.
	StreamDropped func()
	// Bodies is the memory that bodies share; nil for any amount.
	Bodies bodyMemory
	// BodyRefused is told of every body for which there was no memory; may be
	// nil.
	BodyRefused func()
	// OpenAPI is the document to be served at /openapi.json.
	OpenAPI []byte

	// OpenMode restricts requests to the local machine.
	OpenMode bool
	// TrustedProxies are the addresses or networks whose X-Forwarded-For is
	// believed; may be empty.
	TrustedProxies []string
	// Timeout is how long a request may take; zero is DefaultTimeout.
	Timeout time.Duration
	// Streaming is how streams are kept; zero values mean the defaults.
	Streaming StreamTiming
	Log       *slog.Logger
}

// handler answers a request, or returns the error that is to be the answer.
type handler func(c *gin.Context) error

// scope is what a route works on.
type scope uint8

const (
	// general: no tenant, or one that the path names.
	general scope = iota
	// oneTenant: the tenant that X-Tenant-ID selects.
	oneTenant
	// ticketed: the same, where ?ticket= may stand for the token and the
	// tenant.
	ticketed
)

// route is a line of the route table.
type route struct {
	method string
	path   string
	// role is what the caller must be at least.
	role  domain.Role
	scope scope
	// body is how many bytes the body may have.
	body   int64
	handle handler
}

// routes is the route table.
func routes(o *Options) []route {
	login := &loginController{o.Login}
	users := &userController{o.Users}
	tenants := &tenantController{o.Tenants}
	messages := &messageController{o.Messages}
	endpoints := &endpointController{o.Endpoints}
	consumers := &consumerController{o.Consumers}
	letters := &deadLetterController{o.Letters}
	streams := &streamController{o.Streams, o.Tickets, o.Auth, o.Directory, o.Streaming.orDefaults(), o.StreamDropped}
	return []route{
		{"POST", "/login", anyone, general, controlBody, login.create},

		{"POST", "/users", domain.RoleAdmin, general, controlBody, users.create},
		{"GET", "/users", domain.RoleAdmin, general, controlBody, users.list},
		{"GET", "/users/{id}", domain.RoleAdmin, general, controlBody, users.get},
		{"PATCH", "/users/{id}", domain.RoleAdmin, general, controlBody, users.change},
		{"DELETE", "/users/{id}", domain.RoleAdmin, general, controlBody, users.remove},

		{"POST", "/tenants", domain.RoleMember, general, controlBody, tenants.create},
		{"GET", "/tenants", domain.RoleViewer, general, controlBody, tenants.list},
		{"GET", "/tenants/{id}", domain.RoleViewer, general, controlBody, tenants.get},
		{"PATCH", "/tenants/{id}", domain.RoleMember, general, controlBody, tenants.change},
		{"DELETE", "/tenants/{id}", domain.RoleMember, general, controlBody, tenants.remove},
		{"PUT", "/tenants/{id}/config/concurrency", domain.RoleMember, general, controlBody, tenants.setConcurrency},

		{"PUT", "/tenants/{id}/endpoint", domain.RoleMember, general, controlBody, endpoints.put},
		{"GET", "/tenants/{id}/endpoint", domain.RoleViewer, general, controlBody, endpoints.get},
		{"DELETE", "/tenants/{id}/endpoint", domain.RoleMember, general, controlBody, endpoints.remove},
		{"POST", "/tenants/{id}/endpoint/test", domain.RoleMember, general, controlBody, endpoints.test},

		{"GET", "/consumers", domain.RoleViewer, general, controlBody, consumers.list},
		{"DELETE", "/consumers", domain.RoleAdmin, general, controlBody, consumers.stopAll},
		{"POST", "/consumers", domain.RoleAdmin, general, controlBody, consumers.startAll},
		{"GET", "/consumers/{tenant_id}", domain.RoleViewer, general, controlBody, consumers.get},
		{"DELETE", "/consumers/{tenant_id}", domain.RoleMember, general, controlBody, consumers.stop},
		{"POST", "/consumers/{tenant_id}", domain.RoleMember, general, controlBody, consumers.start},

		{"POST", "/messages", domain.RoleMember, oneTenant, messageBody, messages.publish},
		{"POST", "/messages/batch", domain.RoleMember, oneTenant, messageBody, messages.publishBatch},
		{"GET", "/messages", domain.RoleViewer, oneTenant, controlBody, messages.history},
		{"GET", "/messages/stream", domain.RoleViewer, ticketed, controlBody, streams.open},
		{"POST", "/messages/stream/tickets", domain.RoleViewer, oneTenant, controlBody, streams.issueTicket},
		{"GET", "/messages/{id}", domain.RoleViewer, oneTenant, controlBody, messages.get},

		{"GET", "/dead-letters", domain.RoleViewer, oneTenant, controlBody, letters.list},
		{"GET", "/dead-letters/{id}", domain.RoleViewer, oneTenant, controlBody, letters.get},
		{"POST", "/dead-letters/replay", domain.RoleMember, oneTenant, controlBody, letters.replay},
		{"DELETE", "/dead-letters", domain.RoleMember, oneTenant, controlBody, letters.remove},
	}
}

// New returns the handler of all requests. The error is about TrustedProxies.
//
//	@title						Lanekeeper
//	@version					1
//	@description				Multi-tenant messaging: every tenant has a queue, a consumer, workers and a history of its own.
//	@description
//	@description				Errors are problem documents (RFC 9457) with a stable `code`. The same routes answer without the prefix `/api`, and `/healthz`, `/readyz` and `/metrics` only without it. Bodies are read strictly: names match exactly, unknown and repeated ones are refused. A body has to come within 5.5 seconds, and a second more for each 256 KiB: 408 `body_too_slow`. An answer has to be read at 64 KiB a second on average, or else the connection is closed. 503 `body_budget` says that an owner, or all, have too many bodies in memory; 414 and 431 that the head of a request is too large.
//	@license.name				Apache-2.0
//	@BasePath					/api
//	@securityDefinitions.apikey	BearerAuth
//	@in							header
//	@name						Authorization
//	@description				The token from POST /login, with or without `Bearer ` before it. Not needed in open mode.
func New(o Options) (http.Handler, error) {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.ContextWithFallback = true
	engine.HandleMethodNotAllowed = true
	engine.UseRawPath = true // an escaped slash stays part of an id
	// A path with a slash at its end is often one whose id came out empty, and
	// must not reach the route of the whole collection.
	engine.RedirectTrailingSlash = false
	if err := engine.SetTrustedProxies(o.TrustedProxies); err != nil {
		return nil, fmt.Errorf("set trusted proxies: %w", err)
	}

	engine.Use(
		middleware.UnreadBodies(),
		middleware.RequestID(),
		middleware.AccessLog(o.Log, o.Observe),
		middleware.Recover(o.Log),
		middleware.SecurityHeaders(),
		middleware.HeadLimit(),
	)
	if o.OpenMode {
		engine.Use(middleware.LoopbackOnly())
	}
	engine.NoRoute(middleware.NoRoute)
	engine.NoMethod(middleware.NoMethod)

	for _, prefix := range []string{"", apiPrefix} {
		for _, r := range routes(&o) {
			register(engine, r.method, prefix+ginPath(r.path), r.chain(&o)...)
		}
	}
	registerSystem(engine, &o)
	return engine, nil
}

// chain returns what a request of the route passes.
func (r *route) chain(o *Options) []gin.HandlerFunc {
	chain := []gin.HandlerFunc{
		middleware.Route(r.path),
		middleware.Deadline(cmp.Or(o.Timeout, DefaultTimeout)),
	}
	switch {
	case r.role == anyone:
	case r.scope == ticketed:
		chain = append(chain, middleware.AuthenticateOrTicket(o.Auth, o.Tickets, r.role))
	default:
		chain = append(chain, middleware.Authenticate(o.Auth, r.role))
	}
	if r.scope != general {
		chain = append(chain, middleware.SelectTenant(o.Directory))
	}
	return append(chain, middleware.Body(middleware.BodyOptions{
		Limit: r.body, Memory: o.Bodies, Patience: cmp.Or(o.Timeout, DefaultTimeout), Refused: o.BodyRefused,
	}), answer(r.handle))
}

// registerSystem registers the routes that are not part of the API.
func registerSystem(engine *gin.Engine, o *Options) {
	system := func(path, template string, handle gin.HandlerFunc) {
		register(engine, http.MethodGet, path, middleware.Route(template), middleware.Deadline(cmp.Or(o.Timeout, DefaultTimeout)), handle)
	}
	system("/healthz", "/healthz", answer(healthz))
	system("/readyz", "/readyz", answer(readyz(o.Ready)))
	system("/openapi.json", "/openapi.json", answer(openAPI(o.OpenAPI)))
	system("/swagger/*file", "/swagger", swaggerUI(o.OpenAPI))
	system("/swagger", "/swagger", func(c *gin.Context) { c.Redirect(http.StatusFound, swaggerIndex) })
	if o.Metrics != nil {
		system("/metrics", "/metrics", gin.WrapH(o.Metrics))
	}
}

// register registers a route, for HEAD too where there is GET: net/http then
// leaves out the body.
func register(engine *gin.Engine, method, path string, chain ...gin.HandlerFunc) {
	engine.Handle(method, path, chain...)
	if method == http.MethodGet {
		engine.Handle(http.MethodHead, path, chain...)
	}
}

func answer(handle handler) gin.HandlerFunc {
	return func(c *gin.Context) {
		if err := handle(c); err != nil {
			middleware.Fail(c, err)
		}
	}
}

// ginPath returns the path in gin's notation.
func ginPath(path string) string {
	return strings.NewReplacer("{", ":", "}", "").Replace(path)
}
