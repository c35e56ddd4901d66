package controller

import (
	"cmp"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"lanekeeper/controller/middleware"
)

// chain returns what a request of the route passes.
func (r *route) chain(o *Options, packers *middleware.Packers, unpackers *middleware.Unpackers) []gin.HandlerFunc {
	chain := []gin.HandlerFunc{
		middleware.Route(r.path),
		middleware.Deadline(cmp.Or(o.Timeout, DefaultTimeout)),
	}
	if r.tenant != byHeaderOrTicket { // that is a stream
		chain = append(chain, middleware.Compress(packers, false))
	}
	need := middleware.Need{Role: r.role, Scope: r.scope, Links: r.links}
	switch {
	case r.role == anyone:
	case r.tenant == byHeaderOrTicket:
		chain = append(chain, authenticateOrTicket(o.Auth, o.Tickets, o.Directory, need))
	default:
		chain = append(chain, middleware.Authenticate(o.Auth, need))
	}
	if r.tenant != noTenant {
		chain = append(chain, middleware.SelectTenant(o.Directory))
	} else if param := r.tenantInPath(); param != "" {
		chain = append(chain, middleware.PathTenant(o.Directory, param))
	}
	return append(chain, middleware.Body(middleware.BodyOptions{
		Limit: cmp.Or(r.body, smallBody), Memory: o.Bodies, Unpackers: unpackers, Patience: cmp.Or(o.Timeout, DefaultTimeout), Refused: o.BodyRefused,
	}), answer(r.handle))
}

// tenantInPath returns the parameter of the path that names a tenant, or "".
func (r *route) tenantInPath() string {
	switch {
	case strings.HasPrefix(r.path, "/tenants/{id}"), strings.HasPrefix(r.path, "/overview/tenants/{id}"):
		return "id"
	case strings.HasPrefix(r.path, "/consumers/{tenant_id}"):
		return "tenant_id"
	}
	return ""
}

// registerSystem registers the routes that are not part of the API.
func registerSystem(engine *gin.Engine, o *Options, packers *middleware.Packers) error {
	system := func(path, template string, handle ...gin.HandlerFunc) {
		chain := []gin.HandlerFunc{middleware.Route(template), middleware.Deadline(cmp.Or(o.Timeout, DefaultTimeout))}
		register(engine, http.MethodGet, path, append(chain, handle...)...)
	}
	here := o.OpenAPIHere
	if here == nil {
		here = o.OpenAPI
	}
	swagger, err := swaggerUI(here)
	if err != nil {
		return err
	}
	packed := middleware.Compress(packers, true) // caches may keep what has it
	system("/healthz", "/healthz", answer(healthz))
	system("/readyz", "/readyz", answer(readyz(o.Ready)))
	system("/openapi.json", "/openapi.json", packed, answer(openAPI(o.OpenAPI)))
	system("/swagger/*file", "/swagger", packed, swagger)
	system("/swagger", "/swagger", func(c *gin.Context) { c.Redirect(http.StatusFound, swaggerIndex) })
	if o.Console != nil {
		toConsole := func(c *gin.Context) { c.Redirect(http.StatusFound, consoleRoot) }
		system("/", "/", toConsole)
		system("/console", "/console", toConsole)
		system(consoleRoot+"*page", "/console", console(o.Console))
	}
	if o.Metrics != nil {
		system("/metrics", "/metrics", gin.WrapH(o.Metrics))
	}
	return nil
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
