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

// How many bytes a body may have: most are one small object, and those of
// publishing have a message of 1 MiB or a batch.
const (
	smallBody = 64 << 10
	largeBody = 16 << 20
)

// authService identifies callers.
type authService interface {
	// Authenticate returns the caller that sent an Authorization header; "" for
	// none.
	Authenticate(ctx context.Context, authorization string) (domain.Principal, error)
	// Recheck returns the caller as it is now, or an ErrUnauthenticated.
	Recheck(ctx context.Context, p domain.Principal) (domain.Principal, error)
}

// tenantDirectory knows the tenants.
type tenantDirectory interface {
	Lookup(ctx context.Context, id uuid.UUID) (domain.Tenant, error)
}

// bodyMemory is the memory that the bodies of requests share. Reserve returns
// false when there is not enough, for all or for the owner.
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
	Attempts  attemptService
	Replays   replayService
	Consumers consumerService
	Letters   deadLetterService
	Streams   streamService
	Tickets   ticketService

	// Ready answers /readyz: the state in a word, whether requests should come,
	// and the state of each server that is needed.
	Ready func(ctx context.Context) (status string, ready bool, details map[string]string)
	// Metrics answers /metrics; nil when that is served elsewhere.
	Metrics http.Handler
	// Observe is called for every request; may be nil.
	Observe func(route, method string, status int, seconds float64)
	// StreamDropped is called for every stream that ended because its client did
	// not read; may be nil.
	StreamDropped func()
	// Bodies is the memory that bodies share; nil for any amount.
	Bodies bodyMemory
	// BodyRefused is called for every body for which there was no memory; may be
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

// anyone is the role of routes that need no token. It is no role that a caller
// can have: a line of the table without a role lets nobody in.
const anyone domain.Role = "anyone"

// tenantChoice is how a request says which tenant it is for.
type tenantChoice uint8

const (
	// noTenant: it is for none, or its path names it.
	noTenant tenantChoice = iota
	// byHeader: X-Tenant-ID, or ?tenant_id=.
	byHeader
	// byHeaderOrTicket: the same, or ?ticket=, which stands for the token too.
	byHeaderOrTicket
)

// route is a line of the route table.
type route struct {
	method string
	path   string
	// role is the least that the caller must have.
	role   domain.Role
	tenant tenantChoice
	// body is how many bytes the body may have; 0 for smallBody.
	body   int64
	handle handler
}

// routes is the route table.
func routes(o *Options) []route {
	login := &loginController{o.Login}
	users := &userController{o.Users}
	tenants := &tenantController{o.Tenants}
	messages := &messageController{o.Messages, o.Attempts}
	endpoints := &endpointController{o.Endpoints}
	attempts := &attemptController{o.Attempts}
	replays := &replayController{o.Replays}
	consumers := &consumerController{o.Consumers}
	letters := &deadLetterController{o.Letters}
	streams := &streamController{o.Streams, o.Tickets, o.Auth, o.Directory, o.Streaming.orDefaults(), o.StreamDropped}
	const viewer, member, admin = domain.RoleViewer, domain.RoleMember, domain.RoleAdmin
	return []route{
		{method: "POST", path: "/login", role: anyone, handle: login.create},

		{method: "POST", path: "/users", role: admin, handle: users.create},
		{method: "GET", path: "/users", role: admin, handle: users.list},
		{method: "GET", path: "/users/{id}", role: admin, handle: users.get},
		{method: "PATCH", path: "/users/{id}", role: admin, handle: users.change},
		{method: "DELETE", path: "/users/{id}", role: admin, handle: users.remove},

		{method: "POST", path: "/tenants", role: member, handle: tenants.create},
		{method: "GET", path: "/tenants", role: viewer, handle: tenants.list},
		{method: "GET", path: "/tenants/{id}", role: viewer, handle: tenants.get},
		{method: "PATCH", path: "/tenants/{id}", role: member, handle: tenants.change},
		{method: "DELETE", path: "/tenants/{id}", role: member, handle: tenants.remove},
		{method: "PUT", path: "/tenants/{id}/config/concurrency", role: member, handle: tenants.setConcurrency},

		{method: "POST", path: "/tenants/{id}/endpoints", role: member, handle: endpoints.create},
		{method: "GET", path: "/tenants/{id}/endpoints", role: viewer, handle: endpoints.list},
		{method: "PUT", path: "/tenants/{id}/endpoints/by-external-id/{external_id}", role: member, handle: endpoints.upsert},
		{method: "GET", path: "/tenants/{id}/endpoints/{endpoint_id}", role: viewer, handle: endpoints.get},
		{method: "PATCH", path: "/tenants/{id}/endpoints/{endpoint_id}", role: member, handle: endpoints.change},
		{method: "DELETE", path: "/tenants/{id}/endpoints/{endpoint_id}", role: member, handle: endpoints.remove},
		{method: "POST", path: "/tenants/{id}/endpoints/{endpoint_id}/hold", role: member, handle: endpoints.hold},
		{method: "POST", path: "/tenants/{id}/endpoints/{endpoint_id}/resume", role: member, handle: endpoints.resume},
		{method: "POST", path: "/tenants/{id}/endpoints/{endpoint_id}/skip", role: member, handle: endpoints.skip},
		{method: "POST", path: "/tenants/{id}/endpoints/{endpoint_id}/test", role: member, handle: endpoints.test},
		{method: "POST", path: "/tenants/{id}/endpoints/{endpoint_id}/rotate-secret", role: member, handle: endpoints.rotate},
		{method: "GET", path: "/tenants/{id}/endpoints/{endpoint_id}/attempts", role: viewer, handle: attempts.ofEndpoint},
		{method: "POST", path: "/tenants/{id}/endpoints/{endpoint_id}/replay", role: member, handle: replays.start},
		{method: "GET", path: "/tenants/{id}/endpoints/{endpoint_id}/replays/{replay_id}", role: viewer, handle: replays.get},
		{method: "DELETE", path: "/tenants/{id}/endpoints/{endpoint_id}/replays/{replay_id}", role: member, handle: replays.cancel},

		{method: "GET", path: "/consumers", role: viewer, handle: consumers.list},
		{method: "DELETE", path: "/consumers", role: admin, handle: consumers.stopAll},
		{method: "POST", path: "/consumers", role: admin, handle: consumers.startAll},
		{method: "GET", path: "/consumers/{tenant_id}", role: viewer, handle: consumers.get},
		{method: "DELETE", path: "/consumers/{tenant_id}", role: member, handle: consumers.stop},
		{method: "POST", path: "/consumers/{tenant_id}", role: member, handle: consumers.start},

		{method: "POST", path: "/messages", role: member, tenant: byHeader, body: largeBody, handle: messages.publish},
		{method: "POST", path: "/messages/batch", role: member, tenant: byHeader, body: largeBody, handle: messages.publishBatch},
		{method: "GET", path: "/messages", role: viewer, tenant: byHeader, handle: messages.history},

		{method: "GET", path: "/messages/stream", role: viewer, tenant: byHeaderOrTicket, handle: streams.open},
		{method: "POST", path: "/messages/stream/tickets", role: viewer, tenant: byHeader, handle: streams.issueTicket},

		{method: "GET", path: "/messages/{id}", role: viewer, tenant: byHeader, handle: messages.get},
		{method: "GET", path: "/messages/{id}/attempts", role: viewer, tenant: byHeader, handle: attempts.ofMessage},
		{method: "POST", path: "/messages/{id}/endpoints/{endpoint_id}/resend", role: member, tenant: byHeader, handle: endpoints.resend},

		{method: "GET", path: "/dead-letters", role: viewer, tenant: byHeader, handle: letters.list},
		{method: "GET", path: "/dead-letters/groups", role: viewer, tenant: byHeader, handle: letters.groups},
		{method: "GET", path: "/dead-letters/jobs/{id}", role: viewer, tenant: byHeader, handle: letters.getJob},
		{method: "DELETE", path: "/dead-letters/jobs/{id}", role: member, tenant: byHeader, handle: letters.cancelJob},
		{method: "GET", path: "/dead-letters/{id}", role: viewer, tenant: byHeader, handle: letters.get},
		{method: "POST", path: "/dead-letters/replay", role: member, tenant: byHeader, handle: letters.replay},
		{method: "DELETE", path: "/dead-letters", role: member, tenant: byHeader, handle: letters.remove},
	}
}

// New returns the handler of all requests. The error is about TrustedProxies.
//
//	@title			Lanekeeper
//	@version		1
//	@description	Multi-tenant messaging: every tenant has a queue, a consumer, workers and a history of its own.
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
	case r.tenant == byHeaderOrTicket:
		chain = append(chain, authenticateOrTicket(o.Auth, o.Tickets, r.role))
	default:
		chain = append(chain, middleware.Authenticate(o.Auth, r.role))
	}
	if r.tenant != noTenant {
		chain = append(chain, middleware.SelectTenant(o.Directory))
	}
	return append(chain, middleware.Body(middleware.BodyOptions{
		Limit: cmp.Or(r.body, smallBody), Memory: o.Bodies, Patience: cmp.Or(o.Timeout, DefaultTimeout), Refused: o.BodyRefused,
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
