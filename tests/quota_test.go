package tests

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/tests/apptest"
)

// refusedBy requires that a call was refused by one of the owner's limits.
func refusedBy(t *testing.T, limit string, answer *apptest.Answer) {
	t.Helper()
	problem, err := answer.Problem()
	require.NoError(t, err)
	require.Equal(t, http.StatusTooManyRequests, answer.Status, string(answer.Body))
	require.Equal(t, "quota_exceeded", problem.Code)
	require.Contains(t, string(answer.Body), `"limits.`+limit+`"`)
	require.NotEmpty(t, answer.Header.Get("Retry-After"))
}

// Limits are an owner's, however many calls it makes at a time; others, and admins,
// notice nothing.
func TestTenantsOfAnOwnerAreLimited(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret(), func(c *config.Config) { c.Limits.Tenants, c.Limits.Workers = 4, 14 })
	for email, role := range map[string]string{"root@example.com": "admin", "ada@example.com": "member", "bob@example.com": "member"} {
		app.AddUser(email, role, "")
	}
	root, ada, bob := app.LoggedIn("root@example.com"), app.LoggedIn("ada@example.com"), app.LoggedIn("bob@example.com")
	var made atomic.Int32
	var work sync.WaitGroup
	refused := make(chan *apptest.Answer, 12)
	for i := range 12 {
		work.Go(func() {
			answer := ada.Call("POST", "/tenants", `{"name":"one of many","workers":3}`, apptest.WithKey(fmt.Sprint(i)))
			if answer.Status == http.StatusCreated {
				made.Add(1)
				return
			}
			refused <- answer
		})
	}
	work.Wait()
	close(refused)
	require.EqualValues(t, 4, made.Load())
	for answer := range refused {
		refusedBy(t, "tenants", answer)
	}
	bob.CreateTenant("of Bob", 3)
	for range 6 {
		root.CreateTenant("of an admin", 3)
	}

	var page apptest.TenantPage
	ada.Want(http.StatusOK, &page, "GET", "/tenants", nil)
	require.Len(t, page.Data, 4, "nothing is left of those refused")
	// 12 of 14 workers are used.
	concurrency := func(i int) string { return "/tenants/" + page.Data[i].ID + "/config/concurrency" }
	ada.Want(http.StatusOK, nil, "PUT", concurrency(0), `{"workers":5}`)
	refusedBy(t, "workers", ada.Call("PUT", concurrency(1), `{"workers":4}`))
	refusedBy(t, "workers", root.Call("PUT", concurrency(1), `{"workers":4}`))
	ada.Want(http.StatusOK, nil, "PUT", concurrency(1), `{"workers":2}`)
	ada.Want(http.StatusOK, nil, "PUT", concurrency(2), `{"workers":4}`)
	ada.Delete(page.Data[3].ID)
	ada.CreateTenant("in its place", 3)

	// A caller that belongs to a tenant creates none.
	app.AddUser("eve@example.com", "member", page.Data[0].ID)
	app.LoggedIn("eve@example.com").Refused(http.StatusForbidden, "tenant_bound", "POST", "/tenants", `{"name":"x"}`)

	// Others may be set for one user.
	var me struct {
		User         struct{ ID string }
		Limits, Used map[string]int
	}
	ada.Want(http.StatusOK, &me, "GET", "/me", nil)
	require.Equal(t, map[string]int{"tenants": 4, "tenants_last_minute": 5, "workers": 14}, me.Used)
	require.Equal(t, 4, me.Limits["tenants"])
	path := "/users/" + me.User.ID
	root.Want(http.StatusOK, nil, "PATCH", path, `{"limits":{"tenants":9,"streams":7}}`)
	root.Want(http.StatusOK, nil, "PATCH", path, `{"limits":{"tenants":5,"workers":0,"streams":null}}`)
	for _, wrong := range []string{`{"limits":{"tenants":-1}}`, `{"limits":{"other":1}}`, `{"limits":{"tenants":1.5}}`, `{"limits":[]}`} {
		require.Contains(t, []int{http.StatusUnprocessableEntity, http.StatusBadRequest}, root.Call("PATCH", path, wrong).Status, wrong)
	}
	ada.Want(http.StatusOK, &me, "GET", "/me", nil)
	require.Equal(t, 5, me.Limits["tenants"])
	require.Equal(t, 0, me.Limits["workers"])
	require.Equal(t, 1000, me.Limits["streams"])
	ada.CreateTenant("a fifth", 100)
	refusedBy(t, "tenants", ada.Call("POST", "/tenants", `{"name":"a sixth"}`))
}

// As many tenants a minute as an owner may create, also when it deletes them again.
func TestTenantsAMinute(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret(), func(c *config.Config) { c.Limits.TenantsPerMinute = 3 })
	app.AddUser("ada@example.com", "member", "")
	ada := app.LoggedIn("ada@example.com")
	for range 3 {
		ada.Delete(ada.CreateTenant("short-lived", 1).ID)
	}
	refused := ada.Call("POST", "/tenants", `{"name":"x"}`, apptest.WithKey("k"))
	refusedBy(t, "tenants_per_minute", refused)
	app.Exec(`UPDATE tenants SET created_at = created_at - interval '1 minute'`)
	require.Equal(t, http.StatusCreated, ada.Call("POST", "/tenants", `{"name":"x"}`, apptest.WithKey("k")).Status, "the key was not used up")
}

func TestEndpointsAndStreamsOfAnOwner(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret(), func(c *config.Config) {
		c.Limits.EndpointsPerTenant, c.Limits.Streams, c.Delivery.AllowPrivate = 2, 3, true
	})
	for _, email := range []string{"ada@example.com", "bob@example.com"} {
		app.AddUser(email, "member", "")
	}
	ada, bob := app.LoggedIn("ada@example.com"), app.LoggedIn("bob@example.com")
	tenants := []string{ada.CreateTenant("first", 1).ID, ada.CreateTenant("second", 1).ID}
	for range 2 {
		ada.CreateEndpoint(tenants[0], "http://127.0.0.1:1/", nil)
	}
	refusedBy(t, "endpoints_per_tenant", ada.Call("POST", apptest.EndpointsPath(tenants[0]), `{"url":"http://127.0.0.1:1/"}`))
	ada.CreateEndpoint(tenants[1], "http://127.0.0.1:1/", nil)

	var streams []*apptest.Stream
	for _, tenant := range []string{tenants[0], tenants[1], tenants[1]} {
		streams = append(streams, ada.Stream(tenant, ""))
	}
	ada.StreamRefused(http.StatusTooManyRequests, "quota_exceeded", "", apptest.ForTenant(tenants[0]))
	bob.Stream(bob.CreateTenant("of Bob", 1).ID, "")
	streams[0].Close()
	require.Eventually(t, func() bool {
		stream, err := ada.TryStream(t.Context(), "", apptest.ForTenant(tenants[0]))
		if err == nil {
			stream.Close()
		}
		return err == nil
	}, 10*time.Second, 50*time.Millisecond)
}

// What waits in an owner's queues is limited in bytes, also where its consumers are
// stopped; what was accepted is stored, and others notice nothing.
func TestBacklogOfAnOwner(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret(), func(c *config.Config) { c.Limits.BacklogMiB, c.Limits.BacklogMiBPerTenant = 6, 4 })
	for _, email := range []string{"ada@example.com", "bob@example.com"} {
		app.AddUser(email, "member", "")
	}
	ada, bob := app.LoggedIn("ada@example.com"), app.LoggedIn("bob@example.com")
	payload := `{"payload":"` + strings.Repeat("x", 500_000) + `"}`
	accepted := make(map[string]int)
	flood := func(tenant string) *apptest.Answer {
		for range 100 {
			answer := ada.Call("POST", "/messages", payload, apptest.ForTenant(tenant))
			if answer.Status != http.StatusAccepted {
				return answer
			}
			accepted[tenant]++
		}
		require.Fail(t, "nothing is refused")
		return nil
	}
	stopped := func(name string) string {
		id := ada.CreateTenant(name, 1).ID
		ada.Want(http.StatusAccepted, nil, "DELETE", "/consumers/"+id, nil)
		return id
	}
	first, second := stopped("first"), stopped("second")
	refused := flood(first)
	refusedBy(t, "backlog_mib_per_tenant", refused)
	require.Equal(t, "30", refused.Header.Get("Retry-After"))
	refusedBy(t, "backlog_mib", flood(second))
	require.InDelta(t, 4<<20, accepted[first]*500_000, 1<<20)
	require.InDelta(t, 2<<20, accepted[second]*500_000, 1<<20)
	ofBob := bob.CreateTenant("of Bob", 1).ID
	bob.Publish(ofBob, `"unhindered"`)
	bob.Stored(ofBob, 1)

	// Also when it is the broker that says how much waits.
	require.Never(t, func() bool {
		return ada.Call("POST", "/messages", payload, apptest.ForTenant(first)).Status == http.StatusAccepted
	}, 12*time.Second, 2*time.Second)
	for _, tenant := range []string{first, second} {
		ada.Want(http.StatusAccepted, nil, "POST", "/consumers/"+tenant, nil)
		ada.Stored(tenant, accepted[tenant])
	}
	require.Eventually(t, func() bool {
		return ada.Call("POST", "/messages", payload, apptest.ForTenant(first)).Status == http.StatusAccepted
	}, 30*time.Second, 200*time.Millisecond)
}

// All tenants of an owner together may publish so many messages a second; others notice
// nothing.
func TestPublishRateOfAnOwner(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret(), func(c *config.Config) { c.Limits.PublishRate = 20 })
	for email, role := range map[string]string{"root@example.com": "admin", "ada@example.com": "member", "bob@example.com": "member"} {
		app.AddUser(email, role, "")
	}
	ada, bob, root := app.LoggedIn("ada@example.com"), app.LoggedIn("bob@example.com"), app.LoggedIn("root@example.com")
	var tenants []string
	for range 4 {
		tenants = append(tenants, ada.CreateTenant("one of many", 1).ID)
	}
	const calls = 100 // five seconds' worth
	answers := make([]*apptest.Answer, calls)
	var work sync.WaitGroup
	for i := range answers {
		work.Go(func() { answers[i] = ada.Call("POST", "/messages", `{"payload":1}`, apptest.ForTenant(tenants[i%4])) })
	}
	bob.Publish(bob.CreateTenant("of Bob", 1).ID, `"at once"`)
	work.Wait()
	accepted := 0
	for _, answer := range answers {
		if answer.Status == http.StatusAccepted {
			accepted++
		} else {
			refusedBy(t, "publish_rate", answer)
		}
	}
	require.GreaterOrEqual(t, accepted, 5, "what may be published at once")
	require.Less(t, accepted, calls)
	batch := func(c *apptest.Client) *apptest.Answer {
		return c.Call("POST", "/messages/batch", `{"messages":[`+strings.Repeat(`{"payload":1},`, 99)+`{"payload":1}]}`, apptest.ForTenant(c.CreateTenant("large", 1).ID))
	}
	for range 2 { // an admin has no limits
		require.Equal(t, http.StatusAccepted, batch(root).Status)
	}
	require.Equal(t, http.StatusAccepted, batch(bob).Status)
	refusedBy(t, "publish_rate", batch(bob))
}
