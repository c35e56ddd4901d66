package tests

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// me is the answer of GET /me.
type me struct {
	User *struct {
		ID    string `json:"id"`
		Email string `json:"email"`
	} `json:"user"`
	Role     string  `json:"role"`
	TenantID *string `json:"tenant_id"`
}

// requireRevoked waits until a caller's token counts nowhere any more.
func requireRevoked(t *testing.T, user *apptest.Client, fleet []*apptest.App) {
	t.Helper()
	for _, replica := range fleet {
		there := user.At(replica.URL())
		apptest.Await(t, revocationLimit, func() error {
			if answer := there.Call("GET", "/me", nil); answer.Status != http.StatusUnauthorized {
				return apptest.NotYet("refused: %d", answer.Status)
			}
			return nil
		})
		there.Refused(http.StatusUnauthorized, "token_revoked", "GET", "/me", nil)
	}
}

func TestMe(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	var builtIn me
	app.Want(http.StatusOK, &builtIn, "GET", "/api/me", nil)
	require.Equal(t, me{Role: "admin"}, builtIn)
	app.Refused(http.StatusConflict, "built_in_admin", "POST", "/logout", nil)
	app.Refused(http.StatusConflict, "built_in_admin", "PUT", "/me/password", `{"current":"a","new":"gravel mumble tax orbit"}`)

	tenant := app.CreateTenant("tenant", 0).ID
	id := app.AddUser("ada@example.com", "viewer", tenant)
	var ada me
	app.LoggedIn("ada@example.com").Want(http.StatusOK, &ada, "GET", "/me", nil)
	require.Equal(t, id, ada.User.ID)
	require.Equal(t, "ada@example.com", ada.User.Email)
	require.Equal(t, "viewer", ada.Role)
	require.Equal(t, tenant, *ada.TenantID)
}

// A viewer changes the own password, and everything that was logged in before has to
// log in again, on every replica.
func TestOwnPassword(t *testing.T) {
	t.Parallel()
	fleet := apptest.BootFleet(t, 2, apptest.WithSecret())
	app := fleet[0]
	app.AddUser("ada@example.com", "viewer", "")
	ada, elsewhere := app.LoggedIn("ada@example.com"), app.LoggedIn("ada@example.com")
	elsewhere.At(fleet[1].URL()).Want(http.StatusOK, nil, "GET", "/me", nil)

	const next = "gravel mumble tax orbit"
	change := func(current, next string) map[string]string {
		return map[string]string{"current": current, "new": next}
	}
	for code, body := range map[string]map[string]string{"wrong_password": change("wrong horse battery", next), "invalid_fields": change(apptest.Password, "password1234")} {
		p := ada.Refused(http.StatusUnprocessableEntity, code, "PUT", "/me/password", body)
		require.Len(t, p.Errors, 1)
	}
	ada.Want(http.StatusNoContent, nil, "PUT", "/me/password", change(apptest.Password, next))
	requireRevoked(t, ada, fleet)
	requireRevoked(t, elsewhere, fleet)
	app.Refused(http.StatusUnauthorized, "invalid_credentials", "POST", "/login", map[string]string{"email": "ada@example.com", "password": apptest.Password})
	var token apptest.Token
	app.Want(http.StatusOK, &token, "POST", "/login", map[string]string{"email": "ada@example.com", "password": next})

	// Whoever has found the token cannot guess the password with it.
	thief := app.As(token.Token)
	for range 10 {
		thief.Refused(http.StatusUnprocessableEntity, "wrong_password", "PUT", "/me/password", change("wrong horse battery", "another horse battery"))
	}
	thief.Refused(http.StatusTooManyRequests, "too_many_logins", "PUT", "/me/password", change(next, "another horse battery"))
}

func TestLogoutEverywhere(t *testing.T) {
	t.Parallel()
	fleet := apptest.BootFleet(t, 2, apptest.WithSecret())
	app := fleet[0]
	app.AddUser("ada@example.com", "member", "")
	app.AddUser("bob@example.com", "member", "")
	ada, elsewhere, bob := app.LoggedIn("ada@example.com"), app.LoggedIn("ada@example.com").At(fleet[1].URL()), app.LoggedIn("bob@example.com")
	tenant := elsewhere.CreateTenant("of Ada", 0).ID
	stream := elsewhere.Stream(tenant, "")
	ada.Want(http.StatusNoContent, nil, "POST", "/logout", nil)
	requireRevoked(t, ada, fleet)
	requireRevoked(t, elsewhere, fleet)
	_, err := stream.Next()
	require.ErrorIs(t, err, io.EOF)
	bob.Want(http.StatusOK, nil, "GET", "/me", nil)
	app.LoggedIn("ada@example.com").Want(http.StatusOK, nil, "GET", "/me", nil)
}

func TestDisabledUsers(t *testing.T) {
	t.Parallel()
	fleet := apptest.BootFleet(t, 2, apptest.WithSecret())
	app := fleet[0]
	self := app.AddUser("root@example.com", "admin", "")
	root := app.LoggedIn("root@example.com")
	root.Refused(http.StatusConflict, "own_account", "PATCH", "/users/"+self, `{"disabled":true}`)
	type user struct {
		Disabled   bool    `json:"disabled"`
		DisabledAt *string `json:"disabled_at"`
	}
	for email, disable := range map[string]func(id string){
		"ada@example.com": func(id string) {
			var u user
			root.Want(http.StatusOK, &u, "PATCH", "/users/"+id, `{"disabled":true}`)
			require.True(t, u.Disabled)
			require.NotNil(t, u.DisabledAt)
		},
		"sql@example.com": func(id string) { app.Exec(`UPDATE users SET disabled_at = now() WHERE user_id = $1`, id) },
	} {
		id := app.AddUser(email, "member", "")
		caller := app.LoggedIn(email)
		caller.At(fleet[1].URL()).Want(http.StatusOK, nil, "GET", "/me", nil)
		disable(id)
		requireRevoked(t, caller, fleet)
		app.Refused(http.StatusUnauthorized, "invalid_credentials", "POST", "/login", map[string]string{"email": email, "password": apptest.Password})
		var u user
		root.Want(http.StatusOK, &u, "PATCH", "/users/"+id, `{"disabled":false}`)
		require.Equal(t, user{}, u)
		app.LoggedIn(email).Want(http.StatusOK, nil, "GET", "/me", nil)
	}
}
