package controller

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
	"lanekeeper/model"
	"lanekeeper/pkg/tracing"
)

// DefaultTimeout is how long a request may take unless Options says otherwise:
// answers are promised within 6 seconds, and a database that has fallen silent holds a
// call for a third of a second longer than its context.
const DefaultTimeout = 5200 * time.Millisecond

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
	// LookupExternal finds a tenant that the caller may access by its external id.
	LookupExternal(ctx context.Context, p domain.Principal, externalID string) (domain.Tenant, error)
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
	Auth    authService
	Login   loginService
	Self    selfService
	Users   userService
	APIKeys apiKeyService
	Links   portalLinkService
	// Credentials are those for AMQP.
	Credentials credentialService
	Tenants     tenantService
	Directory   tenantDirectory
	Messages    messageService
	Endpoints   endpointService
	Attempts    attemptService
	Replays     replayService
	Consumers   consumerService
	Letters     deadLetterService
	Streams     streamService
	Tickets     ticketService
	Usage       usageService
	Overview    overviewService
	Explain     explainService
	Audit       auditService
	Owners      ownerService
	// Now is the fleet's clock.
	Now func() time.Time

	// Ready answers /readyz: the state in a word, whether requests should come,
	// and the state of each server that is needed.
	Ready func(ctx context.Context) (status string, ready bool, details map[string]string)
	// Metrics answers /metrics; nil when that is served elsewhere.
	Metrics http.Handler
	// Traces makes spans of requests; nil for none.
	Traces *tracing.Tracer
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
	// Console answers GET and HEAD below /console/, with 404 and no body for what is
	// not there; nil for no console.
	Console http.Handler
	// PublicURL is where browsers reach the service, for portal links; "" for the host
	// that they are on. Branding is how the console looks to who has such a link.
	PublicURL string
	Branding  model.Branding
	// OpenAPI is the document to be served at /openapi.json. OpenAPIHere is the one
	// for Swagger UI, which calls the server that it came from; nil for the same.
	OpenAPI, OpenAPIHere []byte

	// OpenMode restricts requests to the local machine, and OpenModePeers.
	OpenMode      bool
	OpenModePeers []netip.Prefix
	// CORSOrigins are the origins whose web pages may call the API; may be empty.
	CORSOrigins []string
	// TrustedProxies are the addresses or networks whose X-Forwarded-For is
	// believed; may be empty.
	TrustedProxies []string
	// Timeout is how long a request may take; zero is DefaultTimeout.
	Timeout time.Duration
	// Streaming is how streams are kept; zero values mean the defaults.
	Streaming StreamTiming
	Log       *slog.Logger
	// Lines is which requests have a line in the log; the zero value is all.
	Lines middleware.RequestLines
}

// handler answers a request, or returns the error that is to be the answer.
type handler func(c *gin.Context) error

// anyone is the role of routes that need no token. It is no role that a caller
// can have: a line of the table without a role lets nobody in.
const anyone domain.Role = "anyone"

// tenantChoice is how a request says which tenant it is for.
type tenantChoice uint8

const (
	// noTenant: it is for none, or its path names it, in the parameter of tenantInPath.
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
	// role is the least that the caller must have, and scope what an API key must be
	// for; without a scope no key may use the route.
	role  domain.Role
	scope domain.Scopes
	// links is where portal links differ from API keys.
	links  middleware.LinkUse
	tenant tenantChoice
	// body is how many bytes the body may have; 0 for smallBody.
	body   int64
	handle handler
}

// routes is the route table.
func routes(o *Options) []route {
	login := &loginController{o.Login}
	self := &selfController{o.Self, o.Owners}
	users := &userController{o.Users}
	keys := &apiKeyController{o.APIKeys}
	portal := &portalController{o.Links, o.Branding, o.PublicURL}
	credentials := &credentialController{o.Credentials}
	tenants := &tenantController{o.Tenants}
	messages := &messageController{o.Messages, o.Attempts}
	endpoints := &endpointController{o.Endpoints}
	attempts := &attemptController{o.Attempts}
	replays := &replayController{o.Replays}
	consumers := &consumerController{o.Consumers}
	letters := &deadLetterController{o.Letters}
	streams := &streamController{o.Streams, o.Tickets, o.Auth, o.Directory, o.Streaming.orDefaults(), o.StreamDropped}
	audit := &auditController{o.Audit, o.Directory}
	overview := &overviewController{o.Overview}
	explain := &explainController{o.Explain}
	usage := &usageController{o.Usage, o.Directory, o.Now}
	const viewer, member, admin = domain.RoleViewer, domain.RoleMember, domain.RoleAdmin
	const always, never = middleware.LinkAlways, middleware.LinkNever
	const publish, read, manage, provision = domain.ScopePublish, domain.ScopeRead, domain.ScopeManage, domain.ScopeProvision
	return []route{
		{method: "POST", path: "/login", role: anyone, handle: login.create},
		{method: "POST", path: "/logout", role: viewer, handle: self.logout},
		{method: "GET", path: "/me", role: viewer, links: always, handle: self.get},
		{method: "PUT", path: "/me/password", role: viewer, handle: self.changePassword},

		{method: "POST", path: "/users", role: admin, handle: users.create},
		{method: "GET", path: "/users", role: admin, handle: users.list},
		{method: "GET", path: "/users/{id}", role: admin, handle: users.get},
		{method: "PATCH", path: "/users/{id}", role: admin, handle: users.change},
		{method: "DELETE", path: "/users/{id}", role: admin, handle: users.remove},

		{method: "POST", path: "/api-keys", role: viewer, handle: keys.createOwn},
		{method: "GET", path: "/api-keys", role: viewer, handle: keys.listOwn},
		{method: "DELETE", path: "/api-keys/{key_id}", role: viewer, handle: keys.revokeOwn},
		{method: "POST", path: "/tenants/{id}/api-keys", role: member, handle: keys.createOfTenant},
		{method: "GET", path: "/tenants/{id}/api-keys", role: member, handle: keys.listOfTenant},
		{method: "DELETE", path: "/tenants/{id}/api-keys/{key_id}", role: member, handle: keys.revokeOfTenant},

		{method: "GET", path: "/portal", role: anyone, handle: portal.branding},
		{method: "POST", path: "/tenants/{id}/portal-links", role: viewer, scope: read, links: never, handle: portal.createLink},
		{method: "DELETE", path: "/tenants/{id}/portal-links", role: member, scope: manage, links: never, handle: portal.revokeLinks},

		{method: "POST", path: "/tenants", role: member, scope: provision, handle: tenants.create},
		{method: "GET", path: "/tenants", role: viewer, scope: read, handle: tenants.list},
		{method: "PUT", path: "/tenants/by-external-id/{external_id}", role: member, scope: provision, handle: tenants.put},
		{method: "GET", path: "/tenants/{id}", role: viewer, scope: read, handle: tenants.get},
		{method: "PATCH", path: "/tenants/{id}", role: member, scope: manage, links: never, handle: tenants.change},
		{method: "DELETE", path: "/tenants/{id}", role: member, scope: provision, handle: tenants.remove},
		{method: "PUT", path: "/tenants/{id}/config/concurrency", role: member, scope: manage, handle: tenants.setConcurrency},
		{method: "GET", path: "/tenants/{id}/explain", role: viewer, scope: read, handle: explain.tenant},

		{method: "POST", path: "/tenants/{id}/amqp-credentials", role: member, scope: manage, links: never, handle: credentials.issue},
		{method: "GET", path: "/tenants/{id}/amqp-credentials", role: member, scope: manage, links: never, handle: credentials.get},
		{method: "DELETE", path: "/tenants/{id}/amqp-credentials", role: member, scope: manage, links: never, handle: credentials.revoke},

		{method: "POST", path: "/tenants/{id}/endpoints", role: member, scope: manage, handle: endpoints.create},
		{method: "GET", path: "/tenants/{id}/endpoints", role: viewer, scope: read, handle: endpoints.list},
		{method: "PUT", path: "/tenants/{id}/endpoints/by-external-id/{external_id}", role: member, scope: manage, handle: endpoints.upsert},
		{method: "GET", path: "/tenants/{id}/endpoints/{endpoint_id}", role: viewer, scope: read, handle: endpoints.get},
		{method: "PATCH", path: "/tenants/{id}/endpoints/{endpoint_id}", role: member, scope: manage, handle: endpoints.change},
		{method: "DELETE", path: "/tenants/{id}/endpoints/{endpoint_id}", role: member, scope: manage, handle: endpoints.remove},
		{method: "POST", path: "/tenants/{id}/endpoints/{endpoint_id}/hold", role: member, scope: manage, handle: endpoints.hold},
		{method: "POST", path: "/tenants/{id}/endpoints/{endpoint_id}/resume", role: member, scope: manage, handle: endpoints.resume},
		{method: "POST", path: "/tenants/{id}/endpoints/{endpoint_id}/skip", role: member, scope: manage, handle: endpoints.skip},
		{method: "POST", path: "/tenants/{id}/endpoints/{endpoint_id}/test", role: member, scope: manage, handle: endpoints.test},
		{method: "POST", path: "/tenants/{id}/endpoints/{endpoint_id}/rotate-secret", role: member, scope: manage, handle: endpoints.rotate},
		{method: "GET", path: "/tenants/{id}/endpoints/{endpoint_id}/attempts", role: viewer, scope: read, handle: attempts.ofEndpoint},
		{method: "GET", path: "/tenants/{id}/endpoints/{endpoint_id}/attempts/summary", role: viewer, scope: read, handle: attempts.summary},
		{method: "POST", path: "/tenants/{id}/endpoints/{endpoint_id}/replay", role: member, scope: manage, handle: replays.start},
		{method: "GET", path: "/tenants/{id}/endpoints/{endpoint_id}/replays", role: viewer, scope: read, handle: replays.list},
		{method: "GET", path: "/tenants/{id}/endpoints/{endpoint_id}/replays/{replay_id}", role: viewer, scope: read, handle: replays.get},
		{method: "DELETE", path: "/tenants/{id}/endpoints/{endpoint_id}/replays/{replay_id}", role: member, scope: manage, handle: replays.cancel},

		{method: "GET", path: "/consumers", role: viewer, scope: read, handle: consumers.list},
		{method: "DELETE", path: "/consumers", role: admin, handle: consumers.stopAll},
		{method: "POST", path: "/consumers", role: admin, handle: consumers.startAll},
		{method: "GET", path: "/consumers/{tenant_id}", role: viewer, scope: read, handle: consumers.get},
		{method: "DELETE", path: "/consumers/{tenant_id}", role: member, scope: manage, handle: consumers.stop},
		{method: "POST", path: "/consumers/{tenant_id}", role: member, scope: manage, handle: consumers.start},

		{method: "GET", path: "/overview", role: viewer, scope: read, handle: overview.get},
		{method: "GET", path: "/overview/tenants", role: viewer, scope: read, handle: overview.tenants},
		{method: "GET", path: "/overview/tenants/{id}", role: viewer, scope: read, handle: overview.tenant},
		{method: "GET", path: "/fleet", role: admin, handle: overview.fleet},
		{method: "GET", path: "/fleet/{replica}/tenants", role: admin, handle: overview.replicaTenants},

		{method: "GET", path: "/usage", role: viewer, scope: read, handle: usage.list},
		{method: "GET", path: "/audit", role: viewer, handle: audit.list},

		{method: "POST", path: "/messages", role: member, scope: publish, tenant: byHeader, body: largeBody, handle: messages.publish},
		{method: "POST", path: "/messages/batch", role: member, scope: publish, tenant: byHeader, body: largeBody, handle: messages.publishBatch},
		{method: "GET", path: "/messages", role: viewer, scope: read, tenant: byHeader, handle: messages.history},

		{method: "GET", path: "/messages/stream", role: viewer, scope: read, tenant: byHeaderOrTicket, handle: streams.open},
		{method: "POST", path: "/messages/stream/tickets", role: viewer, scope: read, links: never, tenant: byHeader, handle: streams.issueTicket},

		{method: "GET", path: "/messages/{id}", role: viewer, scope: read, tenant: byHeader, handle: messages.get},
		{method: "GET", path: "/messages/by-message-id/{message_id}", role: viewer, scope: read, tenant: byHeader, handle: messages.getByMessageID},
		{method: "GET", path: "/messages/{id}/attempts", role: viewer, scope: read, tenant: byHeader, handle: attempts.ofMessage},
		{method: "GET", path: "/messages/{id}/explain", role: viewer, scope: read, tenant: byHeader, handle: explain.message},
		{method: "POST", path: "/messages/{id}/endpoints/{endpoint_id}/resend", role: member, scope: manage, tenant: byHeader, handle: endpoints.resend},

		{method: "GET", path: "/dead-letters", role: viewer, scope: read, tenant: byHeader, handle: letters.list},
		{method: "GET", path: "/dead-letters/groups", role: viewer, scope: read, tenant: byHeader, handle: letters.groups},
		{method: "GET", path: "/dead-letters/summaries", role: viewer, scope: read, tenant: byHeader, handle: letters.summaries},
		{method: "GET", path: "/dead-letters/jobs", role: viewer, scope: read, tenant: byHeader, handle: letters.listJobs},
		{method: "GET", path: "/dead-letters/jobs/{id}", role: viewer, scope: read, tenant: byHeader, handle: letters.getJob},
		{method: "DELETE", path: "/dead-letters/jobs/{id}", role: member, scope: manage, tenant: byHeader, handle: letters.cancelJob},
		{method: "GET", path: "/dead-letters/{id}", role: viewer, scope: read, tenant: byHeader, handle: letters.get},
		{method: "POST", path: "/dead-letters/replay", role: member, scope: manage, tenant: byHeader, handle: letters.replay},
		{method: "DELETE", path: "/dead-letters", role: member, scope: manage, tenant: byHeader, handle: letters.remove},
	}
}

// New returns the handler of all requests. The error is about TrustedProxies, or files
// that the program should have.
//
//	@title			Lanekeeper
//	@version		1
//	@description	Multi-tenant messaging: every tenant has a queue, a consumer, workers and a history of its own.
//	@description
//	@description				Errors are problem documents (RFC 9457) with a stable `code`; `docs/errors.md` says of each what it means and what to do. The same routes answer without the prefix `/api`, and `/healthz` and `/readyz` only without it. Bodies are read strictly: names match exactly, unknown and repeated ones are refused. A body has to come within 5.2 seconds, and a second more for each 256 KiB: 408 `body_too_slow`. An answer has to be read at 64 KiB a second on average, or else the connection is closed. 503 `body_budget` says that an owner, or all, have too many bodies in memory; 414 and 431 that the head of a request is too large. Bodies may be compressed, with `Content-Encoding: gzip`: limits are for what comes out, and another encoding is 415 `unsupported_encoding`. Answers of 1 KiB and more, but no streams, are compressed for who sends `Accept-Encoding: gzip`.
//	@license.name				Apache-2.0
//	@license.url				https://www.apache.org/licenses/LICENSE-2.0
//	@BasePath					/api
//	@tag.name					login
//	@tag.description			Logging in and out, and who is calling. In open mode nobody has to.
//	@tag.name					tenants
//	@tag.description			Customers, each with a queue, a consumer, workers and a history of its own.
//	@tag.name					messages
//	@tag.description			Publishing, the history, and following it as it grows.
//	@tag.name					endpoints
//	@tag.description			Addresses that a tenant's messages are delivered to, signed, and tried again until they arrive.
//	@tag.name					dead-letters
//	@tag.description			Messages that were given up, with the reason: looked at, sent again, or deleted.
//	@tag.name					consumers
//	@tag.description			What takes the messages of a tenant to its history, and is stopped and started by hand.
//	@tag.name					overview
//	@tag.description			How all tenants and replicas do, for a screen of them.
//	@tag.name					usage
//	@tag.description			How much was stored for each tenant, day by day.
//	@tag.name					api-keys
//	@tag.description			What machines call with, within scopes, for a tenant or for all of an owner.
//	@tag.name					portal
//	@tag.description			Links to the pages of one tenant, for the customers of whoever embeds them.
//	@tag.name					amqp-credentials
//	@tag.description			What clients of a tenant publish to its queue with, by AMQP.
//	@tag.name					users
//	@tag.description			Who may call; for admins.
//	@tag.name					audit
//	@tag.description			Who changed what, and when.
//	@securityDefinitions.apikey	BearerAuth
//	@in							header
//	@name						Authorization
//	@description				The token from POST /login, or an API key (`lk_...`) from POST /api-keys or POST /tenants/{id}/api-keys, with or without `Bearer ` before it. Not needed in open mode. What an API key may do is what its owner may, within its scopes; each call says which scope it needs. The token of a portal link (`lkp_...`) from POST /tenants/{id}/portal-links goes there, too; what it may do is what whoever made it may, within its scopes, for its tenant, as far as calls are for portal links at all: 403 `portal_not_accepted`. Too many keys that do not exist from one address are 429 `too_many_keys`.
func New(o Options) (http.Handler, error) {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.ContextWithFallback = true
	engine.HandleMethodNotAllowed = true
	engine.UseRawPath = true          // an escaped slash stays part of an id
	engine.UnescapePathValues = false // PathValues does it
	// A path with a slash at its end is often one whose id came out empty, and
	// must not reach the route of the whole collection.
	engine.RedirectTrailingSlash = false
	engine.RemoteIPHeaders = []string{"X-Forwarded-For"} // and none that a proxy may not replace
	if err := engine.SetTrustedProxies(o.TrustedProxies); err != nil {
		return nil, fmt.Errorf("set trusted proxies: %w", err)
	}

	engine.Use(middleware.UnreadBodies(), middleware.RequestID())
	if o.Traces != nil {
		engine.Use(middleware.Trace(o.Traces))
	}
	engine.Use(
		middleware.AccessLog(middleware.AccessLogOptions{Log: o.Log, Lines: o.Lines, Observe: o.Observe}),
		middleware.Recover(o.Log),
		middleware.SecurityHeaders(),
		middleware.HeadLimit(),
		middleware.PathValues(),
	)
	if len(o.CORSOrigins) > 0 {
		engine.Use(middleware.CrossOrigin(o.CORSOrigins))
	}
	if o.OpenMode {
		engine.Use(middleware.LoopbackOnly(o.OpenModePeers))
	}
	engine.NoRoute(middleware.NoRoute)
	engine.NoMethod(middleware.NoMethod)

	packers, unpackers := middleware.NewPackers(), middleware.NewUnpackers()
	for _, prefix := range []string{"", apiPrefix} {
		for _, r := range routes(&o) {
			register(engine, r.method, prefix+ginPath(r.path), r.chain(&o, packers, unpackers)...)
		}
	}
	if err := registerSystem(engine, &o, packers); err != nil {
		return nil, err
	}
	return engine, nil
}
