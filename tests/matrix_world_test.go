package tests

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// belongings are ids of what a tenant has, and a text that all of it has in it.
type belongings struct {
	canary                                                            string
	tenant, endpoint, message, replay, letter, job, key, ownKey, user string
	ticket                                                            string
}

// traces are what an answer must not have in it that is for somebody else.
func (b *belongings) traces() []string {
	return []string{b.canary, b.tenant, b.endpoint, b.message, b.replay, b.job, b.key, b.ownKey, b.user}
}

// matrixCaller is somebody who calls.
type matrixCaller struct {
	name   string
	client *apptest.Client
	// out: its credentials do not count, or not any more.
	out bool
	// role is that of the user, or of the key's owner; scopes are of a key.
	role   string
	key    bool
	scopes []string
	// link: it came with a portal link, which renew makes anew.
	link  bool
	renew func() *apptest.Client
	// reaches and manages say what it may do with the tenant Acme; everything that it
	// is an admin without a key.
	reaches, manages, everything bool
	// bound: it belongs to a tenant.
	bound bool
	// home is a tenant of its own that it may name instead.
	home string
}

// matrixWorld is the service with two tenants, of Ada and of Bob, and one that was
// deleted, and with callers of every kind.
type matrixWorld struct {
	t           *testing.T
	app         *apptest.App
	root, ada   *apptest.Client
	acme, other belongings
	deleted     string // the tenant that was
	fresh       int
	callers     []matrixCaller
	// outTickets are of callers that are out now, from before.
	outTickets map[string]string
	// deletedLink comes with a portal link of the tenant that was deleted.
	deletedLink *apptest.Client
}

func newMatrixWorld(t *testing.T) *matrixWorld {
	t.Helper()
	w := &matrixWorld{t: t, app: apptest.Boot(t, apptest.WithSecret(), apptest.Delivering(), apptest.ManagingUsers(t)), outTickets: make(map[string]string)}
	w.app.AddUser("root@example.com", "admin", "")
	w.app.AddUser("ada@example.com", "member", "")
	w.app.AddUser("bob@example.com", "member", "")
	w.root, w.ada = w.app.LoggedIn("root@example.com"), w.app.LoggedIn("ada@example.com")
	bob := w.app.LoggedIn("bob@example.com")
	w.acme, w.other = w.furnish(w.ada, "canary-acme"), w.furnish(bob, "canary-other")
	w.deleted = w.ada.CreateTenant("to be deleted", 0).ID
	w.addCallers(bob)
	return w
}

// furnish makes a tenant that has one of everything.
func (w *matrixWorld) furnish(owner *apptest.Client, canary string) belongings {
	w.t.Helper()
	receiver := apptest.NewReceiver(w.t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(canary)) })
	b := belongings{canary: canary, tenant: owner.CreateTenant(canary, 0).ID}
	owner.Want(http.StatusOK, nil, "PATCH", "/api/tenants/"+b.tenant, map[string]any{"external_id": canary, "metadata": map[string]string{canary: canary}})
	e := owner.CreateEndpoint(b.tenant, receiver.URL(), map[string]any{"description": canary, "types": []string{canary}})
	b.endpoint = e.ID
	b.message = owner.Publish(b.tenant, `"`+canary+`","type":"`+canary+`"`)
	owner.Stored(b.tenant, 1)
	apptest.Await(w.t, apptest.Long, func() error {
		if d := owner.Deliveries(b.tenant, b.message); len(d) != 1 || d[0].State != "delivered" {
			return apptest.NotYet("delivered: %+v", d)
		}
		return nil
	})
	apptest.Await(w.t, apptest.Long, func() error { // it counts what is the caller's
		if answer := owner.Call("GET", "/api/usage", nil); !strings.Contains(string(answer.Body), b.tenant) {
			return apptest.NotYet("counted: %s", answer.Body)
		}
		return nil
	})
	var replay struct{ ID string }
	owner.Want(http.StatusAccepted, &replay, "POST", e.Path()+"/replay", map[string]any{"types": []string{canary}})
	b.replay = replay.ID
	b.letter, b.job = w.addLetter(b.tenant, canary), uuid.NewString()
	w.app.Exec(`INSERT INTO dead_letter_jobs (tenant_id, id, owner, action, last_letter, state, total, ended_at) VALUES ($1, $2, '', 'delete', 0, 'done', 0, now())`, b.tenant, b.job)
	b.key = owner.CreateAPIKeyWith(b.tenant, map[string]any{"name": canary, "scopes": []string{"read"}}).ID
	b.ownKey = owner.CreateAPIKeyWith("", map[string]any{"name": canary, "scopes": []string{"read"}}).ID
	b.user = w.app.AddUser(canary+"@example.com", "viewer", b.tenant)
	b.ticket = w.ticket(owner, b.tenant)
	return b
}

func (w *matrixWorld) addLetter(tenant, canary string) string {
	const insert = `INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, created_at)
		VALUES ($1, gen_random_uuid(), gen_random_uuid()::text, '1', '{}', 'invalid_payload', $2, 1, now()) RETURNING id::text`
	return apptest.QueryRow[string](w.app.Probes, insert, tenant, canary)
}

func (w *matrixWorld) ticket(c *apptest.Client, tenant string) string {
	w.t.Helper()
	var ticket struct{ Ticket string }
	c.Want(http.StatusCreated, &ticket, "POST", "/api/messages/stream/tickets", nil, apptest.ForTenant(tenant))
	return ticket.Ticket
}

func (w *matrixWorld) add(c matrixCaller) { w.callers = append(w.callers, c) }

// user adds a user, and returns its id and who calls as it.
func (w *matrixWorld) user(name, role, tenant string) (id string, client *apptest.Client) {
	id = w.app.AddUser(name+"@example.com", role, tenant)
	return id, w.app.LoggedIn(name + "@example.com")
}

func (w *matrixWorld) addCallers(bob *apptest.Client) {
	w.t.Helper()
	all := []string{"publish", "read", "manage", "provision"}
	_, member := w.user("member", "member", w.acme.tenant)
	_, viewer := w.user("viewer", "viewer", w.acme.tenant)
	_, eve := w.user("eve", "member", w.other.tenant)
	_, guest := w.user("guest", "viewer", "")
	w.add(matrixCaller{name: "admin", client: w.root, role: "admin", everything: true})
	w.add(matrixCaller{name: "owner", client: w.ada, role: "member", reaches: true, manages: true})
	w.add(matrixCaller{name: "member of the tenant", client: member, role: "member", reaches: true, bound: true})
	w.add(matrixCaller{name: "viewer of the tenant", client: viewer, role: "viewer", reaches: true, bound: true})
	w.add(matrixCaller{name: "owner of another tenant", client: bob, role: "member", home: w.other.tenant})
	w.add(matrixCaller{name: "member of another tenant", client: eve, role: "member", home: w.other.tenant, bound: true})
	w.add(matrixCaller{name: "viewer of none", client: guest, role: "viewer"})
	for _, scope := range all {
		own := w.ada.CreateAPIKey("", scope)
		w.add(matrixCaller{name: "owner's key: " + scope, client: w.app.By(&own), key: true, role: "member", scopes: []string{scope}, reaches: true, manages: true})
		if scope == "provision" {
			continue
		}
		key := w.ada.CreateAPIKey(w.acme.tenant, scope)
		w.add(matrixCaller{name: "key of the tenant: " + scope, client: w.app.By(&key), key: true, role: "member", scopes: []string{scope}, reaches: true, manages: true})
	}
	ofOther, ofBob, ofRoot := bob.CreateAPIKey(w.other.tenant, all[:3]...), bob.CreateAPIKey("", all...), w.root.CreateAPIKey("", all...)
	ofMember := member.CreateAPIKey("", all...)
	w.add(matrixCaller{name: "key of another tenant", client: w.app.By(&ofOther), key: true, role: "member", scopes: all[:3], home: w.other.tenant})
	second := w.ada.CreateTenant("another one of the owner's", 0).ID
	ofSecond := w.ada.CreateAPIKey(second, all[:3]...)
	w.add(matrixCaller{name: "key of another tenant of the owner", client: w.app.By(&ofSecond), key: true, role: "member", scopes: all[:3], home: second})
	w.add(matrixCaller{name: "another owner's key", client: w.app.By(&ofBob), key: true, role: "member", scopes: all, home: w.other.tenant})
	w.add(matrixCaller{name: "an admin's key", client: w.app.By(&ofRoot), key: true, role: "member", scopes: all})
	w.add(matrixCaller{name: "a member's key", client: w.app.By(&ofMember), key: true, role: "member", scopes: all, reaches: true, bound: true})
	narrowedID, narrowed := w.user("narrowed", "member", w.acme.tenant)
	ofNarrowed := narrowed.CreateAPIKey("", all...)
	w.root.Want(http.StatusOK, nil, "PATCH", "/api/users/"+narrowedID, `{"role":"viewer"}`)
	w.add(matrixCaller{name: "key of a member who became a viewer", client: w.app.By(&ofNarrowed), key: true, role: "viewer", scopes: all, reaches: true, bound: true})
	w.addOutCallers(all)
	w.addLinks(bob)
	w.awaitOut()
}

// addLinks adds those who come with portal links. It comes last: to revoke one is to
// revoke all of its tenant.
func (w *matrixWorld) addLinks(bob *apptest.Client) {
	w.t.Helper()
	all := []string{"read", "publish", "manage"}
	out := func(name string, c *apptest.Client) { w.add(matrixCaller{name: name, client: c, out: true}) }
	by := func(c *apptest.Client, tenant string, scopes ...string) *apptest.Client {
		return w.app.As(c.PortalLink(tenant, scopes...).Token)
	}
	out("revoked link", by(w.ada, w.acme.tenant, all...))
	w.ada.Want(http.StatusNoContent, nil, "DELETE", "/api/tenants/"+w.acme.tenant+"/portal-links", nil)
	out("link of another tenant that is gone", w.deletedLink)
	leavingID, leaving := w.user("leaving", "member", w.acme.tenant)
	out("link of a user who left", by(leaving, w.acme.tenant, "read"))
	w.root.Want(http.StatusNoContent, nil, "DELETE", "/api/users/"+leavingID, nil)
	_, away := w.user("away", "member", w.acme.tenant)
	out("link of a user who logged out", by(away, w.acme.tenant, "read"))
	away.Want(http.StatusNoContent, nil, "POST", "/api/logout", nil)
	key := w.ada.CreateAPIKey(w.acme.tenant, all...)
	out("link of a revoked key", by(w.app.By(&key), w.acme.tenant, all...))
	w.ada.Want(http.StatusNoContent, nil, "DELETE", key.Path(), nil)
	token := w.ada.PortalLink(w.acme.tenant).Token
	out("forged link", w.app.As(token[:len(token)-8]+"AAAAAAAA"))
	out("link as a token", w.app.As(strings.TrimPrefix(token, "lkp_")))

	own := w.ada.CreateAPIKey("", all...)
	for name, c := range map[string]matrixCaller{
		"portal link: read":            {scopes: all[:1], renew: func() *apptest.Client { return by(w.ada, w.acme.tenant) }},
		"portal link: publish":         {scopes: all[:2], renew: func() *apptest.Client { return by(w.ada, w.acme.tenant, all[:2]...) }},
		"portal link: all":             {scopes: all, renew: func() *apptest.Client { return by(w.ada, w.acme.tenant, all...) }},
		"portal link of a key":         {scopes: all, renew: func() *apptest.Client { return by(w.app.By(&own), w.acme.tenant, all...) }},
		"portal link of an admin":      {scopes: all, renew: func() *apptest.Client { return by(w.root, w.acme.tenant, all...) }},
		"portal link of another owner": {scopes: all, home: w.other.tenant, renew: func() *apptest.Client { return by(bob, w.other.tenant, all...) }},
	} {
		c.name, c.link, c.role, c.client = name, true, "member", c.renew()
		c.reaches, c.manages = c.home == "", c.home == ""
		w.add(c)
	}
}

// renewLinks makes the portal links anew, after they were revoked.
func (w *matrixWorld) renewLinks() {
	for i := range w.callers {
		if c := &w.callers[i]; c.renew != nil {
			c.client = c.renew()
		}
	}
}

// addOutCallers adds those whose credentials counted once, or never.
func (w *matrixWorld) addOutCallers(all []string) {
	w.t.Helper()
	out := func(name string, c *apptest.Client) { w.add(matrixCaller{name: name, client: c, out: true}) }
	goneID, gone := w.user("gone", "member", w.acme.tenant)
	_, orphan := w.user("orphan", "member", w.deleted)
	changedID, changed := w.user("changed", "member", w.acme.tenant)
	ofGone, ofOrphan := gone.CreateAPIKey("", all...), orphan.CreateAPIKey("", all...)
	disabledID, disabled := w.user("disabled", "member", w.acme.tenant)
	ofDisabled := disabled.CreateAPIKey("", all...)
	revoked, expired := w.ada.CreateAPIKey(w.acme.tenant, all[:3]...), w.ada.CreateAPIKey(w.acme.tenant, all[:3]...)
	ofDeleted := w.ada.CreateAPIKey(w.deleted, all[:3]...)
	w.deletedLink = w.app.As(w.ada.PortalLink(w.deleted).Token)
	for name, c := range map[string]*apptest.Client{
		"deleted user": gone, "changed user": changed, "disabled user": disabled, "key of a disabled user": w.app.By(&ofDisabled),
		"key of a deleted user": w.app.By(&ofGone), "revoked key": w.app.By(&revoked), "expired key": w.app.By(&expired),
	} {
		out(name, c)
		w.outTickets[name] = w.ticket(c, w.acme.tenant)
	}
	for name, c := range map[string]*apptest.Client{
		"user of a deleted tenant": orphan, "key of a user of a deleted tenant": w.app.By(&ofOrphan), "key of a deleted tenant": w.app.By(&ofDeleted),
	} {
		out(name, c)
		w.outTickets[name] = w.ticket(c, w.deleted)
	}
	token := w.app.Login("ada@example.com").Token
	out("no token", w.app.As(""))
	out("nonsense", w.app.As("Bearer nonsense"))
	out("expired token", w.app.As("Bearer "+expire(w.t, token)))
	out("forged token", w.app.As("Bearer "+token[:len(token)-8]+"AAAAAAAA"))
	out("a ticket for a token", w.app.As("Bearer "+w.acme.ticket))
	out("malformed key", w.app.As("Bearer "+revoked.Key[:107]))
	out("hash of a key", w.app.As("Bearer lk_"+strings.ReplaceAll(revoked.ID, "-", "")+"_"+strings.Repeat("0", 72)))

	w.root.Want(http.StatusNoContent, nil, "DELETE", "/api/users/"+goneID, nil)
	w.root.Want(http.StatusOK, nil, "PATCH", "/api/users/"+disabledID, `{"disabled":true}`)
	w.root.Want(http.StatusOK, nil, "PATCH", "/api/users/"+changedID, `{"password":"plum otter 91 lantern sky"}`)
	w.ada.Want(http.StatusNoContent, nil, "DELETE", revoked.Path(), nil)
	w.app.Exec(`UPDATE api_keys SET expires_at = now() WHERE id = $1`, expired.ID)
	w.ada.Delete(w.deleted)
}

// awaitOut waits until nobody is let in any more who is out.
func (w *matrixWorld) awaitOut() {
	w.t.Helper()
	for _, c := range w.callers {
		if !c.out {
			continue
		}
		apptest.Await(w.t, revocationLimit, func() error {
			if answer := c.client.Call("GET", "/api/tenants", nil); answer.Status != http.StatusUnauthorized {
				return apptest.NotYet("%s refused: %d", c.name, answer.Status)
			}
			return nil
		})
	}
}

// expire returns the token as it would be if it had been issued to expire before.
func expire(t *testing.T, token string) string {
	t.Helper()
	parts := strings.Split(token, ".")
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	var claims map[string]any
	require.NoError(t, json.Unmarshal(text, &claims))
	claims["iat"], claims["exp"] = time.Now().Add(-2*time.Hour).Unix(), time.Now().Add(-time.Hour).Unix()
	text, err = json.Marshal(claims)
	require.NoError(t, err)
	signed := parts[0] + "." + base64.RawURLEncoding.EncodeToString(text)
	mac := hmac.New(sha256.New, []byte(apptest.Secret))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// state is everything of a tenant that a call could change, in one text.
func (w *matrixWorld) state(b *belongings) string {
	const query = `
SELECT concat_ws(' | ',
    (SELECT t::text FROM tenants t WHERE id = $1),
    (SELECT string_agg(concat_ws(',', id, url, description, status, rate, secret), ';' ORDER BY id) FROM endpoints WHERE tenant_id = $1),
    (SELECT count(*) FROM messages WHERE tenant_id = $1),
    (SELECT string_agg(concat_ws(',', id, replayed_at), ';' ORDER BY id) FROM dead_letters WHERE tenant_id = $1),
    (SELECT string_agg(concat_ws(',', id, state), ';' ORDER BY id) FROM dead_letter_jobs WHERE tenant_id = $1),
    (SELECT string_agg(id::text, ';' ORDER BY id) FROM api_keys WHERE tenant_id = $1 OR id = $2),
    (SELECT u::text FROM users u WHERE user_id = $3))`
	return apptest.QueryRow[string](w.app.Probes, query, b.tenant, b.ownKey, b.user)
}

// freshly returns belongings of Acme for a call that takes some of them away.
func (w *matrixWorld) freshly(route string) belongings {
	w.t.Helper()
	w.fresh++
	b := w.acme
	switch route {
	case "DELETE /tenants/{id}":
		b.tenant = w.ada.CreateTenant("taken away", 0).ID
	case "DELETE /tenants/{id}/endpoints/{endpoint_id}":
		e := w.ada.CreateEndpoint(b.tenant, "http://127.0.0.1:1/hook", map[string]any{"types": []string{"nothing"}})
		b.endpoint = e.ID
	case "DELETE /tenants/{id}/api-keys/{key_id}":
		b.key = w.ada.CreateAPIKey(b.tenant, "read").ID
	case "DELETE /api-keys/{key_id}":
		b.ownKey = w.ada.CreateAPIKey("", "read").ID
	case "GET /tenants/{id}/amqp-credentials", "DELETE /tenants/{id}/amqp-credentials":
		w.ada.IssueAMQP(b.tenant)
	case "DELETE /users/{id}":
		b.user = w.app.AddUser(fmt.Sprintf("taken-away-%d@example.com", w.fresh), "viewer", "")
	case "DELETE /dead-letters", "POST /dead-letters/replay", "GET /dead-letters/{id}":
		b.letter = w.addLetter(b.tenant, b.canary)
	}
	return b
}
