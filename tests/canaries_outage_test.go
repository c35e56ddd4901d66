package tests

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
	"lanekeeper/tests/proxy"
)

// cutServers are the servers whose connections a canaryService loses, in this order.
func cutServers() []string {
	return []string{"redis.url", "rabbitmq.management_url", "database.admin_url", "database.url", "rabbitmq.url"}
}

// behindProxies puts a proxy in front of each of cutServers, in settings.
func behindProxies(t *testing.T, settings map[string]string) map[string]*proxy.Proxy {
	t.Helper()
	proxies := make(map[string]*proxy.Proxy)
	for _, name := range cutServers() {
		server, err := strconv.Unquote(settings[name])
		require.NoError(t, err)
		p, err := proxy.New(t.Context(), server, proxy.Bytes{}, func([]byte, proxy.Side) proxy.Verdict { return proxy.Pass })
		require.NoError(t, err)
		t.Cleanup(func() { _ = p.Close() })
		proxies[name], settings[name] = p, strconv.Quote(p.URL())
	}
	return proxies
}

// outage has the servers go away one after the other, for good, while the service runs and
// is called.
func (s *canaryService) outage(t *testing.T) {
	t.Helper()
	s.ExpectError("") // whatever it has to say
	tenant := s.ids["tenant_id"]
	look := func(call string, answer *apptest.Answer) {
		s.c.look("answers: "+call, string(answer.Body)+fmt.Sprint(answer.Header))
	}
	for _, name := range cutServers() {
		require.NoError(t, s.proxies[name].Close())
		for _, caller := range []*apptest.Client{s.admin, s.ada} {
			for _, path := range []string{"/readyz", "/metrics", "/api/tenants", "/api/usage", "/api/messages?cursor=0", "/api/consumers", "/api/me"} {
				look(name+" away: GET "+path, caller.Call("GET", path, nil, apptest.ForTenant(tenant)))
			}
			look(name+" away: POST /messages", caller.Call("POST", "/api/messages", `{"payload":1}`, apptest.ForTenant(tenant)))
			look(name+" away: POST /tenants", caller.Call("POST", "/api/tenants", `{"name":"too late"}`))
			look(name+" away: credentials", caller.Call("POST", "/api/tenants/"+tenant+"/amqp-credentials", nil))
			look(name+" away: endpoint", caller.Call("POST", "/api/tenants/"+tenant+"/endpoints", `{"url":"http://127.0.0.1:1/"}`))
		}
		look(name+" away: POST /login", s.Call("POST", "/api/login", map[string]string{"email": "ada@example.com", "password": s.told[0]}))
	}
	apptest.Await(t, apptest.Long, func() error {
		if answer := s.Call("GET", "/readyz", nil); answer.Status != http.StatusServiceUnavailable {
			return apptest.NotYet("it is not noticed: %d", answer.Status)
		}
		return nil
	})
}
