package tests

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

// From a link that a product makes with its key, to what its customer does with it.
func TestPortalLink(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret(), func(c *config.Config) {
		c.AppURL = "https://messages.example.com"
		c.Portal.Name, c.Portal.Color = "Acme Cloud", "#0a66c2"
	})
	adaID := app.AddUser("ada@example.com", "member", "")
	ada := app.LoggedIn("ada@example.com")
	tenant, other := ada.CreateTenant("one", 0).ID, ada.CreateTenant("other", 0).ID
	ada.Want(http.StatusOK, nil, "PATCH", "/api/tenants/"+tenant, `{"external_id":"customer-1"}`)
	key := ada.CreateAPIKey("", "read", "publish", "manage", "provision")
	product := app.By(&key)
	link := product.PortalLink("ext:customer-1", "read", "publish", "manage")
	require.Equal(t, tenant, link.TenantID)
	require.Equal(t, "https://messages.example.com/console/#portal="+link.Token, link.URL)
	require.WithinDuration(t, time.Now().Add(time.Hour), link.ExpiresAt, time.Minute)

	customer := app.As(link.Token)
	var who struct {
		me

		Portal apptest.PortalLink `json:"portal"`
		Limits map[string]int     `json:"limits"`
	}
	answer := customer.Want(http.StatusOK, &who, "GET", "/api/me", nil)
	require.Equal(t, me{Role: "member", TenantID: &tenant}, who.me)
	require.Equal(t, link.ID, who.Portal.ID)
	require.True(t, link.ExpiresAt.Equal(who.Portal.ExpiresAt))
	require.Empty(t, who.Limits)
	require.NotContains(t, string(answer.Body), adaID)
	require.NotContains(t, string(answer.Body), "ada@")

	customer.Want(http.StatusAccepted, nil, "POST", "/api/messages", `{"payload":1}`) // it is for one tenant
	customer.Stored(tenant, 1)
	var page apptest.TenantPage
	customer.Want(http.StatusOK, &page, "GET", "/api/tenants", nil)
	require.Len(t, page.Data, 1)
	require.Equal(t, tenant, page.Data[0].ID)
	require.Len(t, customer.Consumers(), 1)
	customer.Resize(tenant, 2)
	stream := customer.Stream(tenant, "cursor=0")
	_, err := stream.Next()
	require.NoError(t, err)
	stream.Close()
	customer.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/tenants/"+other, nil)
	customer.Refused(http.StatusNotFound, "tenant_not_found", "POST", "/api/messages", `{"payload":1}`, apptest.ForTenant(other))
	for _, call := range [][3]string{
		{"POST", "/api/tenants/" + tenant + "/portal-links", "{}"},
		{"DELETE", "/api/tenants/" + tenant + "/portal-links", ""},
		{"POST", apptest.APIKeysPath(tenant), `{"name":"more","scopes":["read"]}`},
		{"POST", apptest.APIKeysPath(""), `{"name":"more","scopes":["read"]}`},
		{"POST", "/api/tenants/" + tenant + "/amqp-credentials", ""},
		{"POST", "/api/messages/stream/tickets", ""},
		{"PATCH", "/api/tenants/" + tenant, `{"external_id":"customer-2"}`}, // or else the product would take it for another customer
		{"DELETE", "/api/tenants/" + tenant, ""},
		{"POST", "/api/tenants", `{"name":"more"}`},
		{"POST", "/api/logout", ""},
		{"GET", "/api/audit", ""},
		{"GET", "/api/users", ""},
	} {
		customer.Refused(http.StatusForbidden, "portal_not_accepted", call[0], call[1], call[2])
	}
	reader := app.As(product.PortalLink(tenant).Token)
	reader.Want(http.StatusOK, nil, "GET", "/api/messages", nil)
	reader.Refused(http.StatusForbidden, "scope_insufficient", "POST", "/api/messages", `{"payload":1}`)

	// The audit log says which link it was, and who made that.
	var log auditPage
	ada.Want(http.StatusOK, &log, "GET", "/api/audit?tenant_id="+tenant, nil)
	find := func(is func(*auditLine) bool) auditLine {
		i := slices.IndexFunc(log.Data, func(e auditLine) bool { return is(&e) })
		require.GreaterOrEqual(t, i, 0)
		return log.Data[i]
	}
	by := find(func(e *auditLine) bool { return e.Action == "tenant.workers" }).Actor
	require.Equal(t, []string{"portal", adaID, "", link.ID}, []string{by.Kind, by.UserID, by.KeyID, by.LinkID})
	made := find(func(e *auditLine) bool { return e.Target == link.ID })
	require.Equal(t, "portal_link.create", made.Action)
	require.Equal(t, []string{"key", adaID, key.ID, ""}, []string{made.Actor.Kind, made.Actor.UserID, made.Actor.KeyID, made.Actor.LinkID})
	require.Equal(t, []any{"publish", "read", "manage"}, made.After["scopes"])

	var branding map[string]string
	app.As("").Want(http.StatusOK, &branding, "GET", "/api/portal", nil)
	require.Equal(t, map[string]string{"name": "Acme Cloud", "color": "#0a66c2", "logo": ""}, branding)
}

// Links, and the streams that were opened with them, end on every replica with what they
// came from.
func TestPortalLinksEnd(t *testing.T) {
	t.Parallel()
	fleet := apptest.BootFleet(t, 2, apptest.WithSecret())
	app, other := fleet[0], fleet[1]
	app.AddUser("root@example.com", "admin", "")
	app.AddUser("ada@example.com", "member", "")
	root, ada := app.LoggedIn("root@example.com"), app.LoggedIn("ada@example.com")
	tenant := ada.CreateTenant("tenant", 0).ID
	n := 0
	member := func() (id string, client *apptest.Client) {
		n++
		email := strings.Repeat("x", n) + "@example.com"
		id = app.AddUser(email, "member", tenant)
		return id, app.LoggedIn(email)
	}
	for name, begin := range map[string]func() (maker *apptest.Client, end func()){
		"revoked": func() (*apptest.Client, func()) {
			return ada, func() {
				other.As(app.Login("ada@example.com").Token).Want(http.StatusNoContent, nil, "DELETE", "/api/tenants/"+tenant+"/portal-links", nil)
			}
		},
		"key revoked": func() (*apptest.Client, func()) {
			key := ada.CreateAPIKey(tenant, "read", "publish")
			return app.By(&key), func() { ada.Want(http.StatusNoContent, nil, "DELETE", key.Path(), nil) }
		},
		"logged out": func() (*apptest.Client, func()) {
			_, maker := member()
			return maker, func() { maker.Want(http.StatusNoContent, nil, "POST", "/api/logout", nil) }
		},
		"narrowed": func() (*apptest.Client, func()) {
			id, maker := member()
			return maker, func() { root.Want(http.StatusOK, nil, "PATCH", "/api/users/"+id, `{"role":"viewer"}`) }
		},
		"disabled": func() (*apptest.Client, func()) {
			id, maker := member()
			return maker, func() { root.Want(http.StatusOK, nil, "PATCH", "/api/users/"+id, `{"disabled":true}`) }
		},
		"deleted": func() (*apptest.Client, func()) {
			id, maker := member()
			return maker, func() { root.Want(http.StatusNoContent, nil, "DELETE", "/api/users/"+id, nil) }
		},
	} {
		maker, end := begin()
		link := maker.PortalLink(tenant, "read", "publish")
		var streams []*apptest.Stream
		for _, replica := range fleet {
			streams = append(streams, replica.As(link.Token).Stream(tenant, ""))
		}
		app.As(link.Token).Publish(tenant, `"`+name+`"`)
		for _, s := range streams {
			_, err := s.Next()
			require.NoError(t, err, name)
		}
		ended := time.Now()
		end()
		for i, s := range streams {
			for err := error(nil); err == nil; {
				_, err = s.Next()
			}
			require.Less(t, time.Since(ended), revocationLimit, "%s: stream %d", name, i)
		}
		for _, replica := range fleet {
			replica.As(link.Token).Refused(http.StatusUnauthorized, "portal_invalid", "GET", "/api/me", nil)
		}
	}
	link := ada.PortalLink(tenant)
	there := other.As(link.Token)
	there.Want(http.StatusOK, nil, "GET", "/api/messages", nil)
	ada.Delete(tenant)
	apptest.Await(t, revocationLimit, func() error {
		if answer := there.Call("GET", "/api/me", nil); answer.Status != http.StatusUnauthorized {
			return apptest.NotYet("refused: %d", answer.Status)
		}
		return nil
	})
}

// A link in open mode is for its tenant, though who has none may do everything.
func TestPortalLinksInOpenMode(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant, other := app.CreateTenant("one", 0).ID, app.CreateTenant("other", 0).ID
	customer := app.As(app.PortalLink(tenant, "read", "publish", "manage").Token)
	customer.Publish(tenant, `1`)
	customer.Stored(tenant, 1)
	customer.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/tenants/"+other, nil)
	customer.Refused(http.StatusForbidden, "portal_not_accepted", "GET", "/api/users", nil)
	app.Want(http.StatusNoContent, nil, "DELETE", "/api/tenants/"+tenant+"/portal-links", nil)
	customer.Refused(http.StatusUnauthorized, "portal_invalid", "GET", "/api/me", nil)
}

// Links by the command line.
func TestPortalLinkCommand(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	app.AddUser("ada@example.com", "member", "")
	token := app.Login("ada@example.com").Token
	ada := app.As(token)
	tenant := ada.CreateTenant("tenant", 0).ID
	key := ada.CreateAPIKey(tenant, "read", "manage").Key
	run := func(args ...string) string { return done(t, apptest.RunCommandAs(t, app.URL(), nil, args...)) }
	url := strings.TrimSpace(run("portal-link", "-t", tenant, "--key", key, "--ttl", "10m", "--scopes", "read,manage"))
	_, portal, found := strings.Cut(url, "/console/#portal=")
	require.True(t, found, url)
	customer := app.As(portal)
	customer.Want(http.StatusOK, nil, "GET", "/api/me", nil)
	require.Contains(t, run("me", "--token", portal), "a portal link, for read,manage until ")
	require.Contains(t, run("portal-link", "-t", tenant, "-o", "json", "--token", token), `"scopes":["read"]`)
	require.Contains(t, run("portal-link", "-t", tenant, "-o", "table", "--token", token), "scopes   read\n")
	require.Contains(t, run("portal-link", "-t", tenant, "--revoke", "--token", token), "have ended")
	customer.Refused(http.StatusUnauthorized, "portal_invalid", "GET", "/api/me", nil)
	for says, args := range map[string][]string{
		"/ttl":                  {"-t", tenant, "--ttl", "25h", "--token", token},
		"/scopes/1":             {"-t", tenant, "--scopes", "read,provision", "--token", token},
		"say which tenant with": {"--token", token},
		"portal_invalid":        {"-t", tenant, "--token", portal},
	} {
		failed := apptest.RunCommandAs(t, app.URL(), nil, append([]string{"portal-link"}, args...)...)
		require.NotZero(t, failed.Status, args)
		require.Contains(t, failed.Err, says, args)
	}
}
