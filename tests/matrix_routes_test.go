package tests

// whose says how a call names the tenant that it is about.
type whose uint8

const (
	// noTenant: it is about none, or about all that the caller may see.
	noTenant whose = iota
	byPath
	byHeader
	// ofTheCaller: it is about something of the caller's own.
	ofTheCaller
)

// matrixRoute is what every route is to do, said once more: the matrix holds the
// service to this table, and not to its own.
type matrixRoute struct {
	// role is the least that callers must have, "" for anybody; scope what their key
	// must be for, "" for a route that no key may use.
	role, scope string
	// links is "never" or "always" where portal links are not as keys with their scopes.
	links string
	whose whose
	// id is what {id} stands for in the path.
	id string
	// manages: only those may who manage the tenant.
	manages bool
	// publishes is whether a key needs the scope publish, too.
	publishes bool
	// creates: nobody may who belongs to a tenant.
	creates bool
	// body is a valid body. $letter, $endpoint and $tenant stand for ids.
	body string
	// shows: the answer shows something of the tenant.
	shows bool
	// anyID: it answers about ids that are nowhere, too.
	anyID bool
	// also is a status that a call which is allowed may have besides 2xx.
	also int
}

// matrixRoutes has every route that openapi.json has.
func matrixRoutes() map[string]matrixRoute {
	const (
		endpoint = "/tenants/{id}/endpoints/{endpoint_id}"
		url      = `{"url":"http://127.0.0.1:1/hook","types":["nothing"]}`
	)
	read := func(r matrixRoute) matrixRoute {
		r.role, r.scope = "viewer", "read"
		return r
	}
	manage := func(r matrixRoute) matrixRoute {
		r.role, r.scope, r.manages = "member", "manage", r.whose == byPath
		return r
	}
	never := func(r matrixRoute) matrixRoute {
		r.links = "never"
		return r
	}
	return map[string]matrixRoute{
		"POST /login": {body: `{"email":"nobody@example.com","password":"wrong"}`, also: 401},

		"POST /logout":     {role: "viewer"},
		"GET /me":          {role: "viewer", links: "always"},
		"PUT /me/password": {role: "viewer", body: `{"current":"not my password","new":"plum otter 91 lantern sky"}`, also: 422},

		"POST /users":        {role: "admin", body: `{"name":"New","email":"$fresh@example.com","password":"plum otter 91 lantern sky"}`},
		"GET /users":         {role: "admin", shows: true},
		"GET /users/{id}":    {role: "admin", id: "user", shows: true},
		"PATCH /users/{id}":  {role: "admin", id: "user", body: `{"name":"changed"}`},
		"DELETE /users/{id}": {role: "admin", id: "user"},

		"POST /api-keys":                         {role: "viewer", body: `{"name":"new","scopes":["read"]}`},
		"GET /api-keys":                          {role: "viewer"},
		"DELETE /api-keys/{key_id}":              {role: "viewer", whose: ofTheCaller},
		"POST /tenants/{id}/api-keys":            {role: "member", whose: byPath, id: "tenant", manages: true, body: `{"name":"new","scopes":["read"]}`},
		"GET /tenants/{id}/api-keys":             {role: "member", whose: byPath, id: "tenant", manages: true, shows: true},
		"DELETE /tenants/{id}/api-keys/{key_id}": {role: "member", whose: byPath, id: "tenant", manages: true},

		"GET /portal":                       {},
		"POST /tenants/{id}/portal-links":   never(read(matrixRoute{whose: byPath, id: "tenant", body: `{"ttl":"5m"}`})),
		"DELETE /tenants/{id}/portal-links": never(manage(matrixRoute{whose: byPath, id: "tenant"})),

		"POST /tenants": {role: "member", scope: "provision", creates: true, body: `{"name":"new"}`},
		"PUT /tenants/by-external-id/{external_id}": {role: "member", scope: "provision", creates: true, body: `{"name":"new"}`},
		"GET /tenants":                         read(matrixRoute{shows: true}),
		"GET /tenants/{id}":                    read(matrixRoute{whose: byPath, id: "tenant", shows: true}),
		"PATCH /tenants/{id}":                  never(manage(matrixRoute{whose: byPath, id: "tenant", body: `{"description":"changed"}`})),
		"DELETE /tenants/{id}":                 {role: "member", scope: "provision", whose: byPath, id: "tenant", manages: true},
		"GET /tenants/{id}/explain":            read(matrixRoute{whose: byPath, id: "tenant"}),
		"PUT /tenants/{id}/config/concurrency": manage(matrixRoute{whose: byPath, id: "tenant", body: `{"workers":4}`}),

		"POST /tenants/{id}/amqp-credentials":   never(manage(matrixRoute{whose: byPath, id: "tenant", publishes: true})),
		"GET /tenants/{id}/amqp-credentials":    never(manage(matrixRoute{whose: byPath, id: "tenant"})),
		"DELETE /tenants/{id}/amqp-credentials": never(manage(matrixRoute{whose: byPath, id: "tenant"})),

		"POST /tenants/{id}/endpoints":                             manage(matrixRoute{whose: byPath, id: "tenant", body: url}),
		"GET /tenants/{id}/endpoints":                              read(matrixRoute{whose: byPath, id: "tenant", shows: true}),
		"PUT /tenants/{id}/endpoints/by-external-id/{external_id}": manage(matrixRoute{whose: byPath, id: "tenant", body: url}),
		"GET " + endpoint:                                          read(matrixRoute{whose: byPath, id: "tenant", shows: true}),
		"PATCH " + endpoint:                                        manage(matrixRoute{whose: byPath, id: "tenant", body: `{"rate":7}`}),
		"DELETE " + endpoint:                                       manage(matrixRoute{whose: byPath, id: "tenant"}),
		"POST " + endpoint + "/hold":                               manage(matrixRoute{whose: byPath, id: "tenant"}),
		"POST " + endpoint + "/resume":                             manage(matrixRoute{whose: byPath, id: "tenant"}),
		"POST " + endpoint + "/skip":                               manage(matrixRoute{whose: byPath, id: "tenant", also: 409}),
		"POST " + endpoint + "/test":                               manage(matrixRoute{whose: byPath, id: "tenant"}),
		"POST " + endpoint + "/rotate-secret":                      manage(matrixRoute{whose: byPath, id: "tenant"}),
		"GET " + endpoint + "/attempts":                            read(matrixRoute{whose: byPath, id: "tenant", shows: true}),
		"GET " + endpoint + "/attempts/summary":                    read(matrixRoute{whose: byPath, id: "tenant"}),
		"GET " + endpoint + "/replays":                             read(matrixRoute{whose: byPath, id: "tenant", shows: true}),
		"POST " + endpoint + "/replay":                             manage(matrixRoute{whose: byPath, id: "tenant", body: `{"dry_run":true}`}),
		"GET " + endpoint + "/replays/{replay_id}":                 read(matrixRoute{whose: byPath, id: "tenant", shows: true}),
		"DELETE " + endpoint + "/replays/{replay_id}":              manage(matrixRoute{whose: byPath, id: "tenant", also: 409}),

		"GET /overview":                read(matrixRoute{}),
		"GET /overview/tenants":        read(matrixRoute{shows: true}),
		"GET /overview/tenants/{id}":   read(matrixRoute{whose: byPath, id: "tenant", shows: true}),
		"GET /fleet":                   {role: "admin"},
		"GET /fleet/{replica}/tenants": {role: "admin", also: 404},

		"GET /usage": read(matrixRoute{shows: true}),
		"GET /audit": {role: "viewer"}, // of Acme for its owner, and for admins

		"GET /consumers":                read(matrixRoute{shows: true}),
		"DELETE /consumers":             {role: "admin"},
		"POST /consumers":               {role: "admin"},
		"GET /consumers/{tenant_id}":    read(matrixRoute{whose: byPath}),
		"DELETE /consumers/{tenant_id}": manage(matrixRoute{whose: byPath}),
		"POST /consumers/{tenant_id}":   manage(matrixRoute{whose: byPath}),

		"POST /messages":                                     {role: "member", scope: "publish", whose: byHeader, body: `{"payload":{"tenant_id":"$tenant"}}`},
		"POST /messages/batch":                               {role: "member", scope: "publish", whose: byHeader, body: `{"messages":[{"payload":1}]}`},
		"GET /messages":                                      read(matrixRoute{whose: byHeader, shows: true}),
		"GET /messages/stream":                               read(matrixRoute{whose: byHeader, shows: true}),
		"POST /messages/stream/tickets":                      never(read(matrixRoute{whose: byHeader})),
		"GET /messages/{id}":                                 read(matrixRoute{whose: byHeader, id: "message", shows: true}),
		"GET /messages/by-message-id/{message_id}":           read(matrixRoute{whose: byHeader, id: "message", shows: true}),
		"GET /messages/{id}/attempts":                        read(matrixRoute{whose: byHeader, id: "message", shows: true}),
		"GET /messages/{id}/explain":                         read(matrixRoute{whose: byHeader, id: "message", anyID: true}),
		"POST /messages/{id}/endpoints/{endpoint_id}/resend": manage(matrixRoute{whose: byHeader, id: "message", also: 409}),

		"GET /dead-letters":              read(matrixRoute{whose: byHeader, shows: true}),
		"GET /dead-letters/groups":       read(matrixRoute{whose: byHeader, shows: true}),
		"GET /dead-letters/summaries":    read(matrixRoute{whose: byHeader, shows: true}),
		"GET /dead-letters/jobs":         read(matrixRoute{whose: byHeader, shows: true}),
		"GET /dead-letters/jobs/{id}":    read(matrixRoute{whose: byHeader, id: "job"}),
		"DELETE /dead-letters/jobs/{id}": manage(matrixRoute{whose: byHeader, id: "job", also: 409}),
		"GET /dead-letters/{id}":         read(matrixRoute{whose: byHeader, id: "letter", shows: true}),
		"POST /dead-letters/replay":      manage(matrixRoute{whose: byHeader, body: `{"ids":[$letter]}`}),
		"DELETE /dead-letters":           manage(matrixRoute{whose: byHeader, body: `{"ids":[$letter]}`}),
	}
}
