package devtest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/testservers"
)

// VirtualHost is a virtual host of a test's own, with a user of its own, whose
// limits and policies the test may set. It needs the broker's HTTP API. The
// methods end the test when they fail, so call them from the test's own
// goroutine.
type VirtualHost struct {
	// URL is the virtual host for its user, ManagementURL the HTTP API for the
	// same user, who may read everything there and set policies.
	URL, ManagementURL string

	t          testing.TB
	api        *url.URL
	name, user string
}

// NewVirtualHost makes a virtual host and a user, who administers it. Both are
// deleted, with queues and connections, when the test ends.
func NewVirtualHost(t testing.TB) *VirtualHost {
	t.Helper()
	server := sharedServer(t, testservers.RabbitMQ)
	require.NotEmpty(t, server.ManagementURL, "%s has to be set for limits of the broker", testservers.ManagementVariable)
	api, err := url.Parse(server.ManagementURL)
	require.NoError(t, err)
	v := &VirtualHost{t: t, api: api, name: freshName()}
	manage(t, http.MethodPut, api.JoinPath("api/vhosts", v.name), "")
	t.Cleanup(func() { manage(t, http.MethodDelete, api.JoinPath("api/vhosts", v.name), "") })
	v.permit(api.User.Username())
	v.NewUser()
	return v
}

// NewUser makes another user, without limits, whom URL and ManagementURL are for
// from then on. The broker counts what a user has open after the fact, and a new
// one has nothing.
func (v *VirtualHost) NewUser() {
	v.t.Helper()
	server := sharedServer(v.t, testservers.RabbitMQ)
	v.user = freshName()
	user := v.api.JoinPath("api/users", v.user)
	manage(v.t, http.MethodPut, user, `{"password":"`+v.user+`","tags":"policymaker,monitoring"}`)
	v.t.Cleanup(func() { manage(v.t, http.MethodDelete, user, "") })
	v.permit(v.user)
	v.URL, v.ManagementURL = v.as(withPath(v.t, server.URL, v.name)), v.as(server.ManagementURL)
}

// permit lets a user do everything there.
func (v *VirtualHost) permit(user string) { v.t.Helper(); v.permitReading(user, ".*") }

func (v *VirtualHost) permitReading(user, pattern string) {
	v.t.Helper()
	v.put(v.api.JoinPath("api/permissions", v.name, user), map[string]any{"configure": ".*", "write": ".*", "read": pattern})
}

// LetRead lets the user read, of queues and exchanges, those whose names match, and no
// other.
func (v *VirtualHost) LetRead(pattern string) {
	v.t.Helper()
	v.permitReading(v.user, pattern)
}

func (v *VirtualHost) as(base string) string {
	v.t.Helper()
	u, err := url.Parse(base)
	require.NoError(v.t, err)
	u.User = url.UserPassword(v.user, v.user)
	return u.String()
}

// LimitUser sets max-connections or max-channels of the user; -1 for none.
func (v *VirtualHost) LimitUser(limit string, n int) {
	v.t.Helper()
	v.put(v.api.JoinPath("api/user-limits", v.user, limit), map[string]any{"value": n})
}

// Limit sets max-connections or max-queues of the virtual host; -1 for none.
func (v *VirtualHost) Limit(limit string, n int) {
	v.t.Helper()
	v.put(v.api.JoinPath("api/vhost-limits", v.name, limit), map[string]any{"value": n})
}

// SetPolicy sets a policy, or an operator's, for the queues whose names match.
func (v *VirtualHost) SetPolicy(name, pattern string, definition map[string]any) {
	v.t.Helper()
	v.put(v.api.JoinPath("api/policies", v.name, name), policy(pattern, definition))
}

// SetOperatorPolicy is SetPolicy for an operator's.
func (v *VirtualHost) SetOperatorPolicy(name, pattern string, definition map[string]any) {
	v.t.Helper()
	v.put(v.api.JoinPath("api/operator-policies", v.name, name), policy(pattern, definition))
}

// ClearPolicy removes what SetPolicy set.
func (v *VirtualHost) ClearPolicy(name string) {
	v.t.Helper()
	manage(v.t, http.MethodDelete, v.api.JoinPath("api/policies", v.name, name), "")
}

func policy(pattern string, definition map[string]any) map[string]any {
	return map[string]any{"pattern": pattern, "definition": definition, "apply-to": "queues"}
}

func (v *VirtualHost) put(u *url.URL, body any) {
	v.t.Helper()
	text, err := json.Marshal(body)
	require.NoError(v.t, err)
	manage(v.t, http.MethodPut, u, string(text))
}

// Administrator makes one more user, with this password, who may do everything, and
// returns the virtual host and the HTTP API for it. It is deleted when the test ends.
func (v *VirtualHost) Administrator(password string) (brokerURL, managementURL string) {
	v.t.Helper()
	server, name := sharedServer(v.t, testservers.RabbitMQ), freshName()
	user := v.api.JoinPath("api/users", name)
	v.put(user, map[string]any{"password": password, "tags": "administrator"})
	v.t.Cleanup(func() { manage(v.t, http.MethodDelete, user, "") })
	v.permit(name)
	as := func(base string) string {
		u, err := url.Parse(base)
		require.NoError(v.t, err)
		u.User = url.UserPassword(name, password)
		return u.String()
	}
	return as(withPath(v.t, server.URL, v.name)), as(server.ManagementURL)
}

// AdminManagementURL is the HTTP API for a user who may do everything. The users with a
// prefix who may do something in the virtual host are deleted when the test ends.
func (v *VirtualHost) AdminManagementURL(prefix string) string {
	v.t.Helper()
	v.t.Cleanup(func() {
		var permissions []struct{ User string }
		read(v.t, v.api.JoinPath("api/vhosts", v.name, "permissions"), &permissions)
		for _, p := range permissions {
			if strings.HasPrefix(p.User, prefix) {
				manage(v.t, http.MethodDelete, v.api.JoinPath("api/users", p.User), "")
			}
		}
	})
	return sharedServer(v.t, testservers.RabbitMQ).ManagementURL
}

// HasUser reports whether the broker has a user with this name.
func (v *VirtualHost) HasUser(name string) bool {
	v.t.Helper()
	var users []struct{ Name string }
	read(v.t, v.api.JoinPath("api/users"), &users)
	for _, u := range users {
		if u.Name == name {
			return true
		}
	}
	return false
}

// AddUser makes a user of the broker, who may do nothing but write in the virtual host.
func (v *VirtualHost) AddUser(name string) {
	v.t.Helper()
	v.put(v.api.JoinPath("api/users", name), map[string]any{"password": name, "tags": ""})
	v.put(v.api.JoinPath("api/permissions", v.name, name), map[string]any{"configure": "^$", "write": "^x$", "read": "^$"})
}

// Admin is the virtual host for a user whom its limits do not hold.
func (v *VirtualHost) Admin() string {
	v.t.Helper()
	server := sharedServer(v.t, testservers.RabbitMQ)
	return withPath(v.t, server.URL, v.name)
}
