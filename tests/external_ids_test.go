package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
)

// namedTenant is a tenant with what its owner keeps with it.
type namedTenant struct {
	apptest.Tenant

	ExternalID *string           `json:"external_id"`
	Metadata   map[string]string `json:"metadata"`
}

func putPath(externalID string) string {
	return "/api/tenants/by-external-id/" + url.PathEscape(externalID)
}

// What an owner calls its tenants, and keeps with them, is answered as it was said, is
// the owner's alone, and is free again when the tenant is deleted.
func TestExternalIDs(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	for email, role := range map[string]string{"root@example.com": "admin", "ada@example.com": "member", "bob@example.com": "member"} {
		app.AddUser(email, role, "")
	}
	root, ada, bob := app.LoggedIn("root@example.com"), app.LoggedIn("ada@example.com"), app.LoggedIn("bob@example.com")
	const odd = "erp+1/ü %2F"

	var first, again namedTenant
	body := map[string]any{"name": "Acme", "workers": 2, "metadata": map[string]string{"plan": "pro", "region": "eu"}}
	answer := ada.Want(http.StatusCreated, &first, "PUT", putPath(odd), body)
	require.Equal(t, "/api/tenants/"+first.ID, answer.Header.Get("Location"))
	require.Equal(t, odd, *first.ExternalID)
	require.Equal(t, map[string]string{"plan": "pro", "region": "eu"}, first.Metadata)
	ada.Want(http.StatusOK, &again, "PUT", putPath(odd), body)
	require.Equal(t, first, again, "the second time nothing is changed")
	again = namedTenant{}
	ada.Want(http.StatusOK, &again, "PUT", putPath(odd), map[string]any{"name": "Acme Ltd", "external_id": odd, "metadata": map[string]string{"plan": "free"}})
	require.Equal(t, first.ID, again.ID)
	require.Equal(t, []any{"Acme Ltd", 2, map[string]string{"plan": "free"}}, []any{again.Name, again.Workers, again.Metadata})
	ada.Refused(http.StatusUnprocessableEntity, "invalid_fields", "PUT", putPath(odd), `{"name":"a","external_id":"other"}`)
	ada.Refused(http.StatusUnprocessableEntity, "invalid_fields", "PUT", putPath(odd), `{"name":"a","workers":0}`)
	ada.Refused(http.StatusUnprocessableEntity, "invalid_fields", "PUT", putPath("a\tb"), `{"name":"a"}`)

	// Its owner's alone.
	ada.Refused(http.StatusConflict, "external_id_taken", "POST", "/api/tenants", map[string]any{"name": "b", "external_id": odd}, apptest.WithKey("k"))
	second := ada.CreateTenant("second", 0)
	ada.Refused(http.StatusConflict, "external_id_taken", "PATCH", "/api/tenants/"+second.ID, map[string]any{"external_id": odd})
	var got namedTenant
	ada.Want(http.StatusOK, &got, "PATCH", "/api/tenants/"+second.ID, `{"external_id":"second","metadata":{"plan":"pro","a":"1"}}`)
	got = namedTenant{}
	ada.Want(http.StatusOK, &got, "PATCH", "/api/tenants/ext:second", `{"metadata":{"a":null,"b":"2"}}`)
	require.Equal(t, map[string]string{"plan": "pro", "b": "2"}, got.Metadata)
	bob.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/tenants/ext:second", nil)
	var ofBob namedTenant
	bob.Want(http.StatusCreated, &ofBob, "PUT", putPath(odd), `{"name":"of Bob"}`)
	require.NotEqual(t, first.ID, ofBob.ID)

	// Admins see those of several owners, and have to say which.
	root.Want(http.StatusOK, &got, "GET", "/api/tenants/ext:second", nil)
	require.Equal(t, second.ID, got.ID)
	ambiguous := "/api/tenants/ext:" + url.PathEscape(odd)
	root.Refused(http.StatusConflict, "external_id_ambiguous", "GET", ambiguous, nil)
	root.Refused(http.StatusConflict, "external_id_ambiguous", "POST", "/api/messages", `{"payload":1}`, apptest.ForTenant("ext:"+odd))

	// By what they have.
	list := func(c *apptest.Client, query string) (ids []string) {
		var page apptest.TenantPage
		c.Want(http.StatusOK, &page, "GET", "/api/tenants?"+query, nil)
		for _, tenant := range page.Data {
			ids = append(ids, tenant.ID)
		}
		return ids
	}
	require.Equal(t, []string{first.ID}, list(ada, "external_id="+url.QueryEscape(odd)))
	require.Equal(t, []string{first.ID, ofBob.ID}, list(root, "external_id="+url.QueryEscape(odd)))
	require.Equal(t, []string{second.ID}, list(ada, "metadata.plan=pro"))
	require.Equal(t, []string{second.ID}, list(ada, "metadata.plan=pro&metadata.b=2"))
	require.Empty(t, list(ada, "metadata.plan=pro&metadata.b=3"))
	require.Empty(t, list(bob, "metadata.plan=pro"))

	// Deleted, it is free.
	ada.Delete(first.ID)
	ada.Refused(http.StatusNotFound, "tenant_not_found", "GET", ambiguous, nil)
	root.Want(http.StatusOK, &got, "GET", ambiguous, nil)
	require.Equal(t, ofBob.ID, got.ID)
	ada.Want(http.StatusCreated, &again, "PUT", putPath(odd), `{"name":"anew"}`)
	require.NotEqual(t, first.ID, again.ID)
	require.Empty(t, apptest.QueryRow[string](app.Probes, `SELECT coalesce(external_id, '') || coalesce(nullif(metadata, '{}')::text, '') FROM tenants WHERE id = $1`, first.ID))

	// A key that makes tenants does not change them by that.
	machine := app.By(new(ada.CreateAPIKey("", "provision")))
	machine.Want(http.StatusCreated, nil, "PUT", putPath("by a key"), `{"name":"a"}`)
	machine.Want(http.StatusOK, nil, "PUT", putPath("by a key"), `{"name":"a"}`)
	machine.Refused(http.StatusForbidden, "scope_insufficient", "PUT", putPath("by a key"), `{"name":"b"}`)
	machine = app.By(new(ada.CreateAPIKey("", "provision", "manage")))
	machine.Want(http.StatusOK, nil, "PUT", putPath("by a key"), `{"name":"b"}`)

	// All of it is on record.
	var audit auditPage
	root.Want(http.StatusOK, &audit, "GET", "/api/audit?action=tenant.change&tenant_id=ext:second", nil)
	require.Len(t, audit.Data, 2)
	require.Equal(t, map[string]any{"metadata": map[string]any{"plan": "pro", "a": "1"}}, audit.Data[0].Before)
	require.Equal(t, map[string]any{"metadata": map[string]any{"plan": "pro", "b": "2"}}, audit.Data[0].After)
	require.Equal(t, "second", audit.Data[1].After["external_id"])
}

// However many calls put a tenant at once, on two replicas, there is one, and all of
// them are told of it.
func TestPutAtOnce(t *testing.T) {
	t.Parallel()
	database, broker := devtest.Postgres(t), devtest.RabbitMQ(t)
	replicas := []*apptest.App{apptest.Boot(t, apptest.On(database, broker)), apptest.Boot(t, apptest.On(database, broker))}
	const calls = 50
	answers := make(chan *apptest.Answer, calls)
	for i := range calls {
		go func() {
			answer, err := replicas[i%2].Send(t.Context(), "PUT", putPath("acme"), `{"name":"Acme"}`)
			if err != nil {
				t.Error(err)
			}
			answers <- answer
		}()
	}
	statuses, ids := make(map[int]int), make(map[string]bool)
	for range calls {
		answer := <-answers
		if answer == nil {
			continue
		}
		statuses[answer.Status]++
		var tenant apptest.Tenant
		require.NoError(t, json.Unmarshal(answer.Body, &tenant), "%s", answer.Body)
		ids[tenant.ID] = true
	}
	require.Len(t, ids, 1, "%v", statuses)
	require.Equal(t, calls, statuses[http.StatusOK]+statuses[http.StatusCreated]+statuses[http.StatusAccepted], "%v", statuses)
	require.LessOrEqual(t, statuses[http.StatusCreated], 1)
	require.EqualValues(t, 1, apptest.QueryRow[int64](replicas[0].Probes, `SELECT count(*) FROM tenants`))
}

// A tenant is used by its external id alone: published to, read, followed, delivered,
// replayed; and by one that it has just got, on every replica.
func TestEverythingByExternalID(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	const name = "ext:shop/1 ü"
	inPath := "ext:" + url.PathEscape("shop/1 ü")
	var tenant namedTenant
	app.Want(http.StatusCreated, &tenant, "PUT", putPath("shop/1 ü"), `{"name":"Shop"}`)
	id := app.Publish(name, `{"n":1}`)
	app.Stored(tenant.ID, 1)
	for _, named := range [][]apptest.Header{{apptest.ForTenant(name)}, nil} {
		var page apptest.Page
		app.Want(http.StatusOK, &page, "GET", "/api/messages?tenant_id="+url.QueryEscape(name), nil, named...)
		require.Equal(t, []string{id}, apptest.IDs(page.Data))
	}
	app.Want(http.StatusOK, nil, "GET", "/api/messages/"+id, nil, apptest.ForTenant(name))
	app.Want(http.StatusOK, nil, "PUT", "/api/tenants/"+inPath+"/config/concurrency", `{"workers":4}`)
	app.Want(http.StatusOK, nil, "GET", "/api/consumers/"+inPath, nil)
	var endpoint apptest.Endpoint
	app.Want(http.StatusCreated, &endpoint, "POST", "/api/tenants/"+inPath+"/endpoints", map[string]any{"url": hookURL, "types": []string{"none"}})
	require.Equal(t, tenant.ID, endpoint.TenantID)
	app.Want(http.StatusCreated, nil, "POST", "/api/tenants/"+inPath+"/api-keys", `{"name":"a","scopes":["read"]}`)
	app.Want(http.StatusOK, nil, "GET", "/api/dead-letters", nil, apptest.ForTenant(name))
	app.Want(http.StatusOK, nil, "GET", "/api/usage?tenant_id="+url.QueryEscape(name), nil)

	s, err := app.TryStream(t.Context(), "cursor=0&tenant_id="+url.QueryEscape(name))
	require.NoError(t, err)
	defer s.Close()
	event, err := s.Next()
	require.NoError(t, err)
	require.Equal(t, tenant.ID, event.Message.TenantID)
	var ticket struct{ Ticket string }
	app.Want(http.StatusCreated, &ticket, "POST", "/api/messages/stream/tickets", nil, apptest.ForTenant(name))
	app.StreamRefused(http.StatusNotFound, "tenant_not_found", "cursor=0&ticket="+ticket.Ticket+"&tenant_id=ext:other")
	byTicket, err := app.TryStream(t.Context(), "cursor=0&ticket="+ticket.Ticket+"&tenant_id="+url.QueryEscape(name))
	require.NoError(t, err)
	byTicket.Close()

	// It gets another external id, and the one that it had goes to another tenant.
	app.Want(http.StatusOK, nil, "PATCH", "/api/tenants/"+inPath, `{"external_id":"former"}`)
	app.Refused(http.StatusNotFound, "tenant_not_found", "GET", "/api/messages", nil, apptest.ForTenant(name))
	var other namedTenant
	app.Want(http.StatusCreated, &other, "PUT", putPath("shop/1 ü"), `{"name":"Other"}`)
	app.Publish(name, `2`)
	app.Stored(other.ID, 1)
	app.Want(http.StatusOK, nil, "GET", "/api/messages/"+id, nil, apptest.ForTenant("ext:former"))
	app.Want(http.StatusNoContent, nil, "DELETE", "/api/tenants/ext:former", nil)
	app.Refused(http.StatusNotFound, "tenant_not_found", "DELETE", "/api/tenants/ext:former", nil)
}

// Publishing asks the database no more with an external id than with an id: it goes on
// while that is away.
func TestPublishByExternalIDWithoutADatabase(t *testing.T) {
	t.Parallel()
	server := devtest.PrivatePostgres(t)
	app := apptest.Boot(t, apptest.On(server.URL(), devtest.RabbitMQ(t)))
	var tenant namedTenant
	app.Want(http.StatusCreated, &tenant, "PUT", putPath("acme"), `{"name":"Acme"}`)
	sent := []string{app.Publish("ext:acme", `0`)}
	server.Pause()
	requireReadiness(t, app, http.StatusOK, "degraded")
	for i := range 20 {
		sent = append(sent, app.Publish("ext:acme", fmt.Sprint(i)))
	}
	answer := app.Call("POST", "/api/messages", `{"payload":1}`, apptest.ForTenant("ext:never seen"))
	require.Equal(t, http.StatusServiceUnavailable, answer.Status, "%s", answer.Body)
	server.Resume()
	require.ElementsMatch(t, sent, apptest.IDs(app.Stored(tenant.ID, len(sent))))
}
