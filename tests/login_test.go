package tests

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

// revocationLimit is how long a token may outlive what it came from, with some
// time for a busy machine.
const revocationLimit = 8 * time.Second

// From a row that was inserted by hand to the tenant's history.
func TestLoginFlow(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	id := app.AddUser("ada@example.com", "member", "")
	app.Refused(http.StatusUnauthorized, "token_missing", "POST", "/api/tenants", `{"name":"x"}`)

	token := app.Login("ada@example.com")
	require.Equal(t, id, token.User.ID)
	require.Equal(t, "member", token.User.Role)
	expires, err := time.Parse(time.RFC3339, token.ExpiresAt)
	require.NoError(t, err)
	require.WithinDuration(t, time.Now().Add(time.Hour), expires, time.Minute)
	require.Contains(t, apptest.QueryRow[string](app.Probes, `SELECT password FROM users`), "$argon2id$")
	app.Login("ada@example.com") // with the new hash

	for _, header := range []string{token.Token, "Bearer " + token.Token, "bearer " + token.Token} {
		ada := app.As(header)
		var tenant apptest.Tenant
		ada.Want(http.StatusCreated, &tenant, "POST", "/tenants", `{"name":"of Ada"}`)
		require.Equal(t, id, *tenant.UserID)
		require.Empty(t, ada.History(tenant.TenantID, 50))
		ada.Publish(tenant.TenantID, `"hello"`)
		ada.Stored(tenant.TenantID, 1)
	}
}

func TestLoginRefused(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	app.AddUser("ada@example.com", "member", "")
	app.Exec(`INSERT INTO users (name, email) VALUES ('no password', 'none@example.com')`)
	app.Exec(`INSERT INTO users (name, email, password) VALUES ('strange', 'strange@example.com', 'plain text')`)
	var bodies []string
	for _, body := range []string{
		`{"email":"ada@example.com","password":"wrong horse battery"}`,
		`{"email":"ada@example.com","password":""}`,
		`{"email":"none@example.com","password":""}`,
		`{"email":"none@example.com","password":"correct horse battery"}`,
		`{"email":"strange@example.com","password":"plain text"}`,
		`{"email":"nobody@example.com","password":"correct horse battery"}`,
		`{"email":"' OR 1=1 --","password":"x"}`,
	} {
		p := app.Refused(http.StatusUnauthorized, "invalid_credentials", "POST", "/api/login", body)
		bodies = append(bodies, p.Detail)
	}
	for _, body := range bodies {
		require.Equal(t, bodies[0], body, "nothing tells who exists")
	}
	app.Refused(http.StatusUnprocessableEntity, "", "POST", "/api/login", `{"email":"ada@example.com"}`)
	app.Refused(http.StatusUnprocessableEntity, "", "POST", "/api/login", `{"email":1,"password":2}`)
	app.Refused(http.StatusBadRequest, "", "POST", "/api/login", `email=ada`)
	app.Login("ada@example.com")
	app.Login(" ADA@Example.com ")
}

func TestUserWithoutRoleIsMember(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	app.AddUser("null@example.com", "", "")
	token := app.Login("null@example.com")
	require.Equal(t, "member", token.User.Role)
	user := app.As(token.Token)
	tenant := user.CreateTenant("mine", 0)
	user.Publish(tenant.ID, `1`)
	user.Stored(tenant.ID, 1)
	user.Refused(http.StatusForbidden, "", "GET", "/users", nil)
}

func TestTokensOfChangedUsers(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	app.AddUser("root@example.com", "admin", "")
	root := app.LoggedIn("root@example.com")
	tenant := root.CreateTenant("tenant", 0).ID
	for email, change := range map[string]func(id string){
		"deleted@example.com": func(id string) { root.Want(http.StatusNoContent, nil, "DELETE", "/users/"+id, nil) },
		"changed@example.com": func(id string) { root.Want(http.StatusOK, nil, "PATCH", "/users/"+id, `{"role":"viewer"}`) },
		"sql@example.com":     func(id string) { app.Exec(`DELETE FROM users WHERE user_id = $1`, id) },
		"version@example.com": func(id string) { app.Exec(`UPDATE users SET token_version = 7 WHERE user_id = $1`, id) },
		"tenant@example.com":  func(string) { root.Delete(tenant) },
	} {
		of := ""
		if strings.HasPrefix(email, "tenant") {
			of = tenant
		}
		id := app.AddUser(email, "member", of)
		user := app.LoggedIn(email)
		user.Want(http.StatusOK, nil, "GET", "/tenants", nil)
		change(id)
		apptest.Await(t, revocationLimit, func() error {
			if answer := user.Call("GET", "/tenants", nil); answer.Status != http.StatusUnauthorized {
				return apptest.NotYet("%s refused: %d", email, answer.Status)
			}
			return nil
		})
		user.Refused(http.StatusUnauthorized, "token_revoked", "GET", "/tenants", nil)
	}
}

func TestForgedTokens(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	app.AddUser("ada@example.com", "member", "")
	token := app.Login("ada@example.com").Token
	parts := strings.Split(token, ".")
	foreign := apptest.Boot(t, func(c *config.Config) { c.JWTSecret = strings.Repeat("another secret ", 4) })
	foreign.AddUser("ada@example.com", "admin", "")
	for _, header := range []string{
		"Bearer", "Bearer ", "Basic YWRhOnBhc3N3b3Jk", "nonsense", "a.b.c", strings.Repeat("x", 10_000),
		"eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0." + parts[1] + ".", parts[0] + "." + parts[1] + ".", parts[0] + "." + parts[1] + "." + parts[2] + "x",
		token[:len(token)-6], foreign.Login("ada@example.com").Token,
	} {
		answer := app.As(header).Call("GET", "/tenants", nil)
		require.Equal(t, http.StatusUnauthorized, answer.Status, header)
		require.NotEmpty(t, answer.Header.Get("WWW-Authenticate"))
	}
}

func TestOpenMode(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	app.AddUser("ada@example.com", "viewer", "")
	tenant := app.CreateTenant("of nobody", 0)
	require.Nil(t, tenant.UserID)
	ada := app.LoggedIn("ada@example.com")
	ada.Refused(http.StatusForbidden, "", "POST", "/tenants", `{"name":"x"}`)
	app.As("Bearer nonsense").Refused(http.StatusUnauthorized, "token_invalid", "GET", "/tenants", nil)

	for _, host := range []string{"evil.example", "evil.example:8080", "169.254.169.254", "localhost.evil.example", "127.0.0.1.evil.example"} {
		app.Refused(http.StatusForbidden, "host_not_allowed", "GET", "/tenants", nil, apptest.Header{"Host", host})
	}
	for _, host := range []string{"localhost", "localhost:8080", "127.0.0.1", "[::1]:8080"} {
		app.Want(http.StatusOK, nil, "GET", "/tenants", nil, apptest.Header{"Host", host})
	}
	app.Refused(http.StatusForbidden, "origin_not_allowed", "POST", "/tenants", `{"name":"x"}`, apptest.Header{"Origin", "https://evil.example"})
	// Tokens outlive a restart: the secret is kept.
	app.Restart()
	ada.Want(http.StatusOK, nil, "GET", "/tenants", nil)
}
