package tests

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

// From a key of a tenant, made by whoever manages it, to its end.
func TestAPIKeyOfATenant(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	adaID := app.AddUser("ada@example.com", "member", "")
	ada := app.LoggedIn("ada@example.com")
	tenant, other := ada.CreateTenant("one", 0).ID, ada.CreateTenant("other", 0).ID
	key := ada.CreateAPIKey(tenant, "publish")
	require.Equal(t, adaID, *key.UserID)
	require.Equal(t, tenant, *key.TenantID)
	require.Equal(t, []string{"publish"}, key.Scopes)
	require.Nil(t, key.LastUsedAt)

	for _, header := range []string{key.Key, "Bearer " + key.Key, "bearer " + key.Key} {
		app.As(header).Publish(tenant, `1`)
	}
	ada.Stored(tenant, 3)
	machine := app.By(&key)
	machine.Want(http.StatusAccepted, nil, "POST", "/api/messages", `{"payload":1}`) // it is for one tenant
	machine.Refused(http.StatusNotFound, "tenant_not_found", "POST", "/api/messages", `{"payload":1}`, apptest.ForTenant(other))
	machine.Refused(http.StatusForbidden, "scope_insufficient", "GET", "/api/messages", nil)
	machine.Refused(http.StatusForbidden, "key_not_accepted", "POST", apptest.APIKeysPath(tenant), `{"name":"more","scopes":["manage"]}`)
	machine.Refused(http.StatusForbidden, "key_not_accepted", "POST", apptest.APIKeysPath(""), `{"name":"more","scopes":["read"]}`)

	manager := ada.CreateAPIKey(tenant, "read", "manage")
	machine = app.By(&manager)
	var page apptest.TenantPage
	machine.Want(http.StatusOK, &page, "GET", "/api/tenants", nil)
	require.Len(t, page.Data, 1)
	require.Equal(t, tenant, page.Data[0].ID)
	require.Len(t, machine.Consumers(), 1)
	machine.Resize(tenant, 5)
	machine.Refused(http.StatusNotFound, "tenant_not_found", "PATCH", "/api/tenants/"+other, `{"name":"stolen"}`)
	machine.Refused(http.StatusForbidden, "scope_insufficient", "DELETE", "/api/tenants/"+tenant, nil)
	machine.Refused(http.StatusForbidden, "key_not_accepted", "DELETE", "/api/consumers", nil)

	keys := ada.APIKeys(tenant)
	require.Len(t, keys, 2)
	require.Equal(t, key.ID, keys[0].ID)
	require.Empty(t, keys[0].Key, "it is shown once")
	require.Empty(t, ada.APIKeys(""))
	apptest.Await(t, apptest.Long, func() error {
		if used := ada.APIKeys(tenant)[0].LastUsedAt; used == nil || time.Since(*used) > 2*time.Minute || !used.Equal(used.Truncate(time.Minute)) {
			return apptest.NotYet("used: %v", used)
		}
		return nil
	})
	require.NotContains(t, apptest.QueryRow[string](app.Probes, `SELECT string_agg(k::text, ',') FROM api_keys k`), key.Key[36:100])

	ada.Want(http.StatusNoContent, nil, "DELETE", key.Path(), nil)
	app.By(&key).Refused(http.StatusUnauthorized, "key_invalid", "POST", "/api/messages", `{"payload":1}`)
	ada.Refused(http.StatusNotFound, "api_key_not_found", "DELETE", key.Path(), nil)
	ada.Delete(tenant)
	awaitRefused(t, machine)
}

// awaitRefused waits until a key is refused, for no longer than it may outlive what it
// came from.
func awaitRefused(t *testing.T, c *apptest.Client) {
	t.Helper()
	apptest.Await(t, revocationLimit, func() error {
		answer := c.Call("GET", "/api/tenants", nil)
		p, err := answer.Problem()
		if err != nil || p.Status != http.StatusUnauthorized || p.Code != "key_invalid" {
			return apptest.NotYet("refused: %d %s", answer.Status, answer.Body)
		}
		return nil
	})
}

// A key of an owner is for all its tenants, and makes and deletes some.
func TestAPIKeyOfAnOwner(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	app.AddUser("root@example.com", "admin", "")
	adaID := app.AddUser("ada@example.com", "member", "")
	app.AddUser("bob@example.com", "member", "")
	root, ada, bob := app.LoggedIn("root@example.com"), app.LoggedIn("ada@example.com"), app.LoggedIn("bob@example.com")
	mine, bobs := ada.CreateTenant("mine", 0).ID, bob.CreateTenant("bob's", 0).ID
	key := ada.CreateAPIKey("", "publish", "read", "manage", "provision")
	machine := app.By(&key)

	var made, again apptest.Tenant
	machine.Want(http.StatusCreated, &made, "POST", "/api/tenants", `{"name":"made"}`, apptest.WithKey("once"))
	machine.Want(http.StatusCreated, &again, "POST", "/api/tenants", `{"name":"made"}`, apptest.WithKey("once"))
	require.Equal(t, made.ID, again.ID)
	require.Equal(t, adaID, *made.UserID)
	second := ada.CreateAPIKey("", "provision")
	app.By(&second).Want(http.StatusCreated, &again, "POST", "/api/tenants", `{"name":"made"}`, apptest.WithKey("once"))
	require.Equal(t, made.ID, again.ID, "another key of the same owner repeats the call")
	for _, tenant := range []string{mine, made.ID} {
		machine.Publish(tenant, `1`)
		machine.Stored(tenant, 1)
	}
	require.Len(t, machine.Consumers(), 2)
	machine.Refused(http.StatusBadRequest, "tenant_required", "GET", "/api/messages", nil)
	machine.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/messages", nil, apptest.ForTenant(bobs))
	machine.Refused(http.StatusNotFound, "tenant_not_found", "DELETE", "/api/tenants/"+bobs, nil)

	// An admin's key has nothing of an admin.
	ofRoot := root.CreateAPIKey("", "publish", "read", "manage", "provision")
	admin := app.By(&ofRoot)
	var page apptest.TenantPage
	admin.Want(http.StatusOK, &page, "GET", "/api/tenants", nil)
	require.Empty(t, page.Data)
	admin.Refused(http.StatusNotFound, "tenant_not_found", "DELETE", "/api/tenants/"+mine, nil)
	for _, call := range [][2]string{{"GET", "/api/users"}, {"DELETE", "/api/users/" + adaID}, {"POST", "/api/consumers"}, {"GET", "/api/api-keys"}} {
		admin.Refused(http.StatusForbidden, "key_not_accepted", call[0], call[1], nil)
	}

	// It narrows with its owner, and ends with it.
	root.Want(http.StatusOK, nil, "PATCH", "/api/users/"+adaID, `{"role":"viewer"}`)
	apptest.Await(t, revocationLimit, func() error {
		if answer := machine.Call("POST", "/api/messages", `{"payload":1}`, apptest.ForTenant(mine)); answer.Status != http.StatusForbidden {
			return apptest.NotYet("a viewer's: %d", answer.Status)
		}
		return nil
	})
	machine.Refused(http.StatusForbidden, "role_insufficient", "POST", "/api/tenants", `{"name":"x"}`)
	machine.Stored(mine, 1)
	root.Want(http.StatusNoContent, nil, "DELETE", "/api/users/"+adaID, nil)
	awaitRefused(t, machine)
	awaitRefused(t, app.By(&second))
	root.Want(http.StatusNoContent, nil, "DELETE", key.Path(), nil) // by an admin
}

// Streams end with the key that opened them, on every replica, and so do its tickets.
func TestStreamsEndWithTheirKey(t *testing.T) {
	t.Parallel()
	fleet := apptest.BootFleet(t, 2, apptest.WithSecret())
	app, other := fleet[0], fleet[1]
	adaID := app.AddUser("ada@example.com", "member", "")
	app.AddUser("root@example.com", "admin", "")
	ada, root := app.LoggedIn("ada@example.com"), app.LoggedIn("root@example.com")
	tenant := ada.CreateTenant("tenant", 0).ID
	for _, c := range []struct {
		name string
		end  func(*apptest.APIKey)
	}{
		{"revoked", func(key *apptest.APIKey) { ada.Want(http.StatusNoContent, nil, "DELETE", key.Path(), nil) }},
		{"revoked by SQL", func(key *apptest.APIKey) { app.Exec(`DELETE FROM api_keys WHERE id = $1`, key.ID) }},
		{"expired", func(key *apptest.APIKey) {
			app.Exec(`UPDATE api_keys SET expires_at = now() + interval '1 second' WHERE id = $1`, key.ID)
		}},
		{"without the scope", func(key *apptest.APIKey) { app.Exec(`UPDATE api_keys SET scopes = '{publish}' WHERE id = $1`, key.ID) }},
		{"owner deleted", func(*apptest.APIKey) { root.Want(http.StatusNoContent, nil, "DELETE", "/api/users/"+adaID, nil) }},
	} {
		key := ada.CreateAPIKey(tenant, "read", "publish")
		machine, there := app.By(&key), other.By(&key)
		var ticket struct {
			Ticket    string    `json:"ticket"`
			ExpiresAt time.Time `json:"expires_at"`
		}
		machine.Want(http.StatusCreated, &ticket, "POST", "/api/messages/stream/tickets", nil)
		require.WithinDuration(t, time.Now().Add(time.Hour), ticket.ExpiresAt, time.Minute)
		var streams []*apptest.Stream
		for _, client := range []*apptest.Client{machine, there} {
			streams = append(streams, client.Stream(tenant, ""))
		}
		byTicket, err := other.As("").TryStream(t.Context(), "ticket="+ticket.Ticket)
		require.NoError(t, err)
		t.Cleanup(byTicket.Close)
		streams = append(streams, byTicket)
		machine.Publish(tenant, `"`+c.name+`"`)
		for _, s := range streams {
			_, err := s.Next()
			require.NoError(t, err, c.name)
		}
		ended := time.Now()
		c.end(&key)
		for i, s := range streams {
			for err = nil; err == nil; {
				_, err = s.Next()
			}
			require.Less(t, time.Since(ended), revocationLimit, "%s: stream %d", c.name, i)
		}
		code, status := "key_invalid", http.StatusUnauthorized
		if c.name == "without the scope" {
			code, status = "scope_insufficient", http.StatusForbidden
		}
		other.As("").StreamRefused(status, code, "ticket="+ticket.Ticket, apptest.LastEventID(0))
		machine.StreamRefused(status, code, "tenant_id="+tenant)
	}
}

// Publishing with a key goes on while the database is away, as with a token.
func TestAPIKeysWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	database := devtest.PrivatePostgres(t)
	app := apptest.Boot(t, apptest.WithSecret(), apptest.On(database.URL(), devtest.RabbitMQ(t)))
	app.AddUser("ada@example.com", "member", "")
	ada := app.LoggedIn("ada@example.com")
	tenant := ada.CreateTenant("tenant", 0).ID
	key, unused := ada.CreateAPIKey(tenant, "publish"), ada.CreateAPIKey("", "publish")
	machine := app.By(&key)
	machine.Publish(tenant, `0`)
	database.Stop()
	for i := range 20 {
		begun := time.Now()
		machine.Publish(tenant, fmt.Sprint(i+1))
		require.Less(t, time.Since(begun), answerLimit)
	}
	app.By(&unused).Refused(http.StatusServiceUnavailable, "", "POST", "/api/messages", `{"payload":1}`, apptest.ForTenant(tenant))
	database.Start()
	requireReadiness(t, app, http.StatusOK, "ready")
	ada.Stored(tenant, 21)
}

// A key is in its answer, and nowhere else.
func TestAPIKeysAreNotTold(t *testing.T) {
	t.Parallel()
	app := apptest.New(t, apptest.WithSecret())
	logged := app.RecordLog()
	app.Start()
	app.AddUser("ada@example.com", "member", "")
	ada := app.LoggedIn("ada@example.com")
	tenant := ada.CreateTenant("tenant", 0).ID
	key := ada.CreateAPIKey(tenant, "publish", "read")
	machine := app.By(&key)
	var answers strings.Builder
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/api/tenants", ""},
		{"GET", "/api/tenants?cursor=" + key.Key, ""},
		{"GET", "/api/messages?key=" + key.Key, ""},
		{"GET", "/api/messages/stream?ticket=" + key.Key, ""},
		{"POST", "/api/messages", `{"payload":1}`},
		{"POST", "/api/tenants", `{"name":"x"}`},
		{"POST", "/api/login", `{"email":"x@example.com","password":"` + key.Key + `"}`},
		{"GET", "/api/api-keys", ""},
		{"GET", "/api/nothing", ""},
	} {
		answers.Write(machine.Call(c.method, c.path, c.body, apptest.ForTenant(tenant)).Body)
		answers.Write(app.As(key.Key[:107]+"x").Call(c.method, c.path, c.body, apptest.ForTenant(tenant)).Body)
	}
	machine.Call("GET", "/api/tenants/"+key.Key, nil) // a mistake of the caller's
	ada.Want(http.StatusNoContent, nil, "DELETE", key.Path(), nil)
	answers.Write(machine.Call("GET", "/api/tenants", nil).Body)
	app.Stop()
	secret := key.Key[36:100]
	require.NotContains(t, answers.String(), secret)
	require.NotContains(t, logged(), secret)
	require.Contains(t, logged(), `"key_id":"`+key.ID+`"`, "the log says which key it was")
	require.Contains(t, logged(), "lk_***")
}

func TestAPIKeysInOpenMode(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("of nobody", 0).ID
	own, ofTenant := app.CreateAPIKey("", "read", "publish", "provision"), app.CreateAPIKey(tenant, "publish")
	require.Nil(t, own.UserID)
	app.By(&ofTenant).Publish(tenant, `1`)
	app.By(&own).Stored(tenant, 1)
	made := app.By(&own).CreateTenant("made", 0)
	require.Nil(t, made.UserID)
	require.Len(t, app.APIKeys(""), 1)
	app.Stop()
	app.Config.JWTSecret = apptest.Secret
	app.Start()
	app.By(&own).Refused(http.StatusUnauthorized, "key_invalid", "GET", "/api/tenants", nil)
	app.By(&ofTenant).Refused(http.StatusUnauthorized, "key_invalid", "GET", "/api/tenants", nil)
}

func TestKeyCommand(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	app.AddUser("ada@example.com", "member", "")
	ada := app.LoggedIn("ada@example.com")
	tenant := ada.CreateTenant("tenant", 0).ID
	run := func(args ...string) (string, error) {
		return app.Command(append(append([]string{"key"}, args...), "--database")...)
	}
	text, err := run("create", "--tenant", tenant, "--name", "shop", "--expires", "90d")
	require.NoError(t, err)
	machine := app.As(strings.TrimSpace(text))
	machine.Publish(tenant, `1`)
	machine.Stored(tenant, 1)
	key := ada.APIKeys(tenant)[0]
	require.Equal(t, "shop", key.Name)
	require.WithinDuration(t, time.Now().AddDate(0, 0, 90), *key.ExpiresAt, time.Hour)
	listed, err := run("list", "--tenant", tenant)
	require.NoError(t, err)
	require.Contains(t, listed, key.ID)
	require.NotContains(t, listed, "lk_")
	said, err := run("revoke", "--id", key.ID)
	require.NoError(t, err)
	require.Equal(t, key.ID+" revoked\n", said)
	awaitRefused(t, machine)

	text, err = run("add", "--owner", "ada@example.com", "--name", "provisioner", "--scopes", "provision,read")
	require.NoError(t, err)
	app.As(strings.TrimSpace(text)).CreateTenant("made", 0)
	for _, args := range [][]string{
		{},
		{"steal"},
		{"add"},
		{"add", "--name", "x"},
		{"add", "--tenant", "x"},
		{"add", "--owner", "nobody@example.com", "--name", "x"},
		{"add", "--tenant", tenant, "--name", "x", "--scopes", "provision"},
		{"add", "--tenant", tenant, "--name", "x", "--expires", "-1d"},
		{"revoke", "--id", key.ID},
		{"revoke"},
		{"list"},
		{"add", "--nonsense"},
	} {
		_, err := run(args...)
		require.Error(t, err, args)
	}
}

// Keys by the command line, as a user of the API.
func TestKeyCommandByTheAPI(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	app.AddUser("ada@example.com", "member", "")
	token := app.Login("ada@example.com").Token
	ada := app.As(token)
	tenant := ada.CreateTenant("tenant", 0).ID
	environment := []string{"LANEKEEPER_TOKEN=" + token, "LANEKEEPER_API_KEY=lk_not_this_one"}
	run := func(args ...string) string {
		return done(t, apptest.RunCommandAs(t, app.URL(), environment, append([]string{"key"}, args...)...))
	}
	text := strings.TrimSpace(run("create", "-t", tenant, "--name", "shop", "--scopes", "read,publish", "--expires", "90d"))
	machine := app.As(text)
	machine.Publish(tenant, `1`)
	made := ada.APIKeys(tenant)[0]
	require.WithinDuration(t, time.Now().AddDate(0, 0, 90), *made.ExpiresAt, time.Hour)
	require.Contains(t, run("list", "-t", tenant), made.ID+"  publish,read")
	require.Contains(t, run("list", "-t", tenant, "-o", "json"), `"tenant_id":"`+tenant+`"`)
	own := strings.TrimSpace(run("create", "--name", "own", "--scopes", "read"))
	app.As(own).Stored(tenant, 1)
	require.Contains(t, run("list"), "own")
	require.Equal(t, made.ID+" revoked\n", run("revoke", "-t", tenant, "--id", made.ID))
	awaitRefused(t, machine)
	for says, args := range map[string][]string{
		"key_not_accepted":          {"list", "--key", own},
		"token_missing":             {"list", "--token", ""},
		"--database needs none":     {"create", "--name", "x", "--token", ""},
		"api_key_not_found":         {"revoke", "--id", made.ID, "--token", token},
		"--owner is for --database": {"list", "--owner", "ada@example.com", "--token", token},
	} {
		failed := apptest.RunCommandAs(t, app.URL(), nil, append([]string{"key"}, args...)...)
		require.NotZero(t, failed.Status, args)
		require.Contains(t, failed.Err, says, args)
	}
}

func TestBadAPIKeys(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 0).ID
	for body, pointer := range map[string]string{
		`{"scopes":["read"]}`:                                                "/name",
		`{"name":"","scopes":["read"]}`:                                      "/name",
		`{"name":1,"scopes":["read"]}`:                                       "/name",
		`{"name":"` + strings.Repeat("x", 101) + `","scopes":["read"]}`:      "/name",
		`{"name":"x"}`:                                                       "/scopes",
		`{"name":"x","scopes":[]}`:                                           "/scopes",
		`{"name":"x","scopes":null}`:                                         "/scopes",
		`{"name":"x","scopes":"read"}`:                                       "/scopes",
		`{"name":"x","scopes":["read",null]}`:                                "/scopes/1",
		`{"name":"x","scopes":["read","write"]}`:                             "/scopes/1",
		`{"name":"x","scopes":["provision"]}`:                                "/scopes/0",
		`{"name":"x","scopes":["read"],"expires_at":"soon"}`:                 "/expires_at",
		`{"name":"x","scopes":["read"],"expires_at":"2020-01-01T00:00:00Z"}`: "/expires_at",
		`{"name":"x","scopes":["read"],"expires_at":17}`:                     "/expires_at",
		`{"name":"x","scopes":["read"],"owner":"me"}`:                        "/owner",
	} {
		p := app.Refused(http.StatusUnprocessableEntity, "invalid_fields", "POST", apptest.APIKeysPath(tenant), body)
		require.Equal(t, pointer, p.Errors[0].Pointer, body)
	}
	app.CreateAPIKeyWith(tenant, `{"name":"x","scopes":["read","read"],"expires_at":null}`)
	for range 99 {
		app.CreateAPIKeyWith(tenant, `{"name":"x","scopes":["read"],"expires_at":"9999-12-31T23:59:59Z"}`)
	}
	app.Refused(http.StatusTooManyRequests, "quota_exceeded", "POST", apptest.APIKeysPath(tenant), `{"name":"x","scopes":["read"]}`)
	require.Len(t, app.APIKeys(tenant), 100)
	app.Refused(http.StatusBadRequest, "invalid_id", "DELETE", apptest.APIKeysPath("")+"/x", nil)
	app.Refused(http.StatusNotFound, "tenant_not_found", "GET", apptest.APIKeysPath("0197a3a2-7d2c-7c3e-8f7e-0242ac120002"), nil)
}
