package tests

import (
	"encoding/json"
	"iter"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/client"
	"lanekeeper/tests/apptest"
)

// all returns what a sequence has.
func all[T any](t *testing.T, sequence iter.Seq2[T, error]) []T {
	t.Helper()
	var got []T
	for v, err := range sequence {
		require.NoError(t, err)
		got = append(got, v)
	}
	return got
}

func TestClientManagesTenants(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	c := app.API("")
	ctx := t.Context()
	health, err := c.Ready(ctx)
	require.NoError(t, err)
	require.Equal(t, "ready", health.Status)
	me, err := c.Me(ctx)
	require.NoError(t, err)
	require.Nil(t, me.User, "it is open")
	require.Equal(t, client.RoleAdmin, me.Role)

	var ids []string
	for range 5 {
		tenant, err := c.Tenants.Create(ctx, client.CreateTenant{Name: "Acme", Description: "d", Workers: 2, RetentionDays: new(30)})
		require.NoError(t, err)
		require.Equal(t, 2, tenant.Workers)
		require.Equal(t, 30, tenant.RetentionDays)
		ids = append(ids, tenant.ID)
	}
	listed := all(t, c.Tenants.List(ctx, client.ListTenants{PageSize: 2}))
	require.Len(t, listed, 5)
	for i, tenant := range listed {
		require.Equal(t, ids[i], tenant.ID)
	}
	require.Len(t, all(t, c.Tenants.List(ctx, client.ListTenants{Cursor: ids[2]})), 2)

	id := ids[0]
	changed, err := c.Tenants.Change(ctx, id, client.ChangeTenant{Name: new("Acme Ltd"), Status: new(client.TenantInactive), RetentionDays: new(0)})
	require.NoError(t, err)
	require.Equal(t, "Acme Ltd", changed.Name)
	require.Equal(t, "d", changed.Description, "what is left out stays")
	require.Zero(t, changed.RetentionDays)
	_, err = c.ForTenant(id).PublishValue(ctx, 1)
	require.ErrorIs(t, err, client.CodeTenantInactive)
	require.Len(t, all(t, c.Tenants.List(ctx, client.ListTenants{Status: client.TenantInactive})), 1)
	_, err = c.Tenants.Change(ctx, id, client.ChangeTenant{Status: new(client.TenantActive)})
	require.NoError(t, err)

	require.NoError(t, c.Tenants.SetWorkers(ctx, id, 7))
	stopped, err := c.Consumers.Stop(ctx, id)
	require.NoError(t, err)
	require.True(t, stopped.Stopped)
	_, err = c.ForTenant(id).PublishValue(ctx, 1)
	require.NoError(t, err, "a stopped consumer leaves it in the queue")
	consumer, err := c.Consumers.Get(ctx, id)
	require.NoError(t, err)
	require.Equal(t, 7, consumer.Workers)
	started, err := c.Consumers.Start(ctx, id)
	require.NoError(t, err)
	require.False(t, started.Stopped)
	historyOf(t, c.ForTenant(id), 1)
	require.Len(t, all(t, c.Consumers.List(ctx)), 5)
	n, err := c.Consumers.StopAll(ctx)
	require.NoError(t, err)
	require.Equal(t, 5, n)
	n, err = c.Consumers.StartAll(ctx)
	require.NoError(t, err)
	require.Equal(t, 5, n)

	today := time.Now().UTC().Format(time.DateOnly)
	usage := all(t, c.Usage(ctx, client.UsageOptions{From: today, TenantID: id}))
	require.Len(t, usage, 1)
	require.Equal(t, int64(1), usage[0].Messages)

	deletion, err := c.Tenants.Delete(ctx, id)
	require.NoError(t, err)
	require.True(t, deletion.Done)
	_, err = c.Tenants.Delete(ctx, id)
	require.ErrorIs(t, err, client.CodeTenantNotFound)
	audit := all(t, c.Audit(ctx, client.AuditOptions{TenantID: id, PageSize: 3}))
	require.NotEmpty(t, audit)
	require.Equal(t, "tenant.delete", audit[0].Action)
	require.Equal(t, "open", audit[0].Actor.Kind)
}

// Users, their tokens, and keys of each kind, as those who call with them see them.
func TestClientLogsInAndUsesKeys(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.WithSecret())
	app.AddUser("root@example.com", "admin", "")
	ctx := t.Context()
	nobody := app.API("")
	_, err := nobody.Me(ctx)
	require.ErrorIs(t, err, client.CodeTokenMissing)
	_, err = nobody.Login(ctx, "root@example.com", "wrong")
	require.ErrorIs(t, err, client.CodeInvalidCredentials)
	token, err := nobody.Login(ctx, "root@example.com", apptest.Password)
	require.NoError(t, err)
	require.Equal(t, "root@example.com", token.User.Email)

	root := app.API("", client.WithLogin("root@example.com", apptest.Password))
	const password = "gravel mumble tax orbit"
	user, err := root.Users.Create(ctx, client.CreateUser{Name: "Ada", Email: "ada@example.com", Password: password})
	require.NoError(t, err)
	require.Equal(t, client.RoleMember, user.Role)
	_, err = root.Users.Create(ctx, client.CreateUser{Name: "Ada", Email: "ada@example.com", Password: password})
	require.ErrorIs(t, err, client.CodeEmailTaken)
	user, err = root.Users.Change(ctx, user.ID, client.ChangeUser{Limits: map[string]*int{"tenants": new(3)}})
	require.NoError(t, err)
	require.Equal(t, map[string]int{"tenants": 3}, user.Limits)
	require.Len(t, all(t, root.Users.List(ctx)), 2)

	ada := app.API("", client.WithLogin("ada@example.com", password))
	tenant, err := ada.Tenants.Create(ctx, client.CreateTenant{Name: "Acme"})
	require.NoError(t, err)
	require.Equal(t, user.ID, *tenant.UserID)
	ada = ada.ForTenant(tenant.ID)
	_, err = ada.Keys.Create(ctx, client.CreateAPIKey{Name: "x", Scopes: []string{"fly"}})
	require.ErrorIs(t, err, client.CodeInvalidFields)
	publishing, err := ada.TenantKeys.Create(ctx, client.CreateAPIKey{Name: "shop", Scopes: []string{client.ScopePublish}})
	require.NoError(t, err)
	own, err := ada.Keys.Create(ctx, client.CreateAPIKey{Name: "backend", Scopes: []string{client.ScopeRead, client.ScopeProvision}})
	require.NoError(t, err)

	shop := app.API("", client.WithKey(publishing.Key)) // it has one tenant only
	_, err = shop.PublishValue(ctx, "hello")
	require.NoError(t, err)
	_, err = shop.Tenants.Get(ctx, tenant.ID)
	require.ErrorIs(t, err, client.CodeScopeInsufficient)
	backend := app.API(tenant.ID, client.WithToken(own.Key))
	require.Equal(t, `"hello"`, string(historyOf(t, backend, 1)[0].Payload))
	other, err := backend.Tenants.Create(ctx, client.CreateTenant{Name: "Other"})
	require.NoError(t, err)
	require.Equal(t, user.ID, *other.UserID)

	ofTenant, err := ada.TenantKeys.List(ctx)
	require.NoError(t, err)
	require.Len(t, ofTenant, 1)
	require.Empty(t, ofTenant[0].Key)
	require.NoError(t, ada.TenantKeys.Revoke(ctx, publishing.ID))
	apptest.Await(t, apptest.Long, func() error {
		if _, err := shop.PublishValue(ctx, "hello"); err == nil {
			return apptest.NotYet("refused")
		}
		return nil
	})
	_, err = shop.PublishValue(ctx, "hello")
	require.ErrorIs(t, err, client.CodeKeyInvalid)

	// Its tokens end, and it logs in again by itself.
	require.NoError(t, ada.Logout(ctx))
	me, err := ada.Me(ctx)
	require.NoError(t, err)
	require.Equal(t, "ada@example.com", me.User.Email)
	require.NoError(t, ada.ChangePassword(ctx, password, "quartz lemon hinge above"))
	require.NoError(t, root.Users.Delete(ctx, user.ID))
	_, err = root.Users.Get(ctx, user.ID)
	require.ErrorIs(t, err, client.CodeUserNotFound)
}

func TestClientManagesEndpoints(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	ctx := t.Context()
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusOK))
	c := app.API(app.CreateTenant("delivered", 1).ID)
	e, err := c.Endpoints.Create(ctx, client.CreateEndpoint{
		URL: receiver.URL(), Types: []string{"order.*"}, Concurrency: 2, Ordering: "fifo", Headers: map[string]string{"x-a": "1", "x-b": "2"},
	})
	require.NoError(t, err)
	require.NotEmpty(t, e.Secret)
	receipt, err := c.Publish(ctx, client.NewMessage{Payload: json.RawMessage(`{"n":1}`), Type: "order.created"})
	require.NoError(t, err)
	apptest.Await(t, apptest.Long, func() error {
		m, err := c.Message(ctx, receipt.ID)
		if err != nil || len(m.Deliveries) != 1 || m.Deliveries[0].State != "delivered" {
			return apptest.NotYet("delivered: %v %v", m, err)
		}
		return nil
	})
	attempts := all(t, c.MessageAttempts(ctx, receipt.ID, client.AttemptOptions{}))
	require.Len(t, attempts, 1)
	require.Equal(t, http.StatusOK, *attempts[0].Status)
	require.Len(t, all(t, c.Endpoints.Attempts(ctx, e.ID, client.AttemptOptions{Status: "succeeded"})), 1)
	require.Empty(t, all(t, c.Endpoints.Attempts(ctx, e.ID, client.AttemptOptions{Status: "failed"})))

	changed, err := c.Endpoints.Change(ctx, e.ID, client.ChangeEndpoint{
		Description: new("warehouse"), Types: client.Default[[]string](), Concurrency: client.Set(4), ExternalID: client.Set("wh"),
		Headers: client.Set(map[string]*string{"x-a": nil}), Retry: client.Set(client.Retry{Schedule: []string{"1s"}, Final: []int{404}}),
	})
	require.NoError(t, err)
	require.Equal(t, "warehouse", changed.Description)
	require.Empty(t, changed.Types)
	require.Equal(t, 4, *changed.Concurrency)
	require.Equal(t, map[string]string{"X-B": "***"}, changed.Headers)
	require.Equal(t, client.Retry{Schedule: []string{"1s"}, Final: []int{404}}, changed.Retry)
	require.Equal(t, "fifo", changed.Ordering, "what is left out stays")
	changed, err = c.Endpoints.Change(ctx, e.ID, client.ChangeEndpoint{Concurrency: client.Default[int](), Retry: client.Default[client.Retry]()})
	require.NoError(t, err)
	require.Nil(t, changed.Concurrency)
	require.Equal(t, e.Retry, changed.Retry)
	same, created, err := c.Endpoints.PutByExternalID(ctx, "wh", client.CreateEndpoint{URL: receiver.URL()})
	require.NoError(t, err)
	require.False(t, created)
	require.Equal(t, e.ID, same.ID)
	_, created, err = c.Endpoints.PutByExternalID(ctx, "a/b c", client.CreateEndpoint{URL: receiver.URL()})
	require.NoError(t, err)
	require.True(t, created)
	listed, err := c.Endpoints.List(ctx)
	require.NoError(t, err)
	require.Len(t, listed, 2)

	held, err := c.Endpoints.Hold(ctx, e.ID)
	require.NoError(t, err)
	require.Equal(t, "held", held.Status)
	resumed, err := c.Endpoints.Resume(ctx, e.ID)
	require.NoError(t, err)
	require.Equal(t, "active", resumed.Status)
	tested, err := c.Endpoints.Test(ctx, e.ID)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, *tested.Status)
	rotated, err := c.Endpoints.RotateSecret(ctx, e.ID, time.Hour, "")
	require.NoError(t, err)
	require.NotEqual(t, e.Secret, rotated.Secret)
	require.WithinDuration(t, time.Now().Add(time.Hour), *rotated.OldSecretUntil, time.Minute)
	_, err = c.Endpoints.Resend(ctx, e.ID, receipt.ID)
	require.NoError(t, err)

	counted, err := c.Endpoints.Replay(ctx, e.ID, client.ReplayRange{FromSeq: 1, DryRun: true})
	require.NoError(t, err)
	require.Equal(t, "dry_run", counted.State)
	require.Empty(t, counted.ID)
	apptest.Await(t, apptest.Long, func() error { // the message that was sent again is under way
		replay, err := c.Endpoints.Replay(ctx, e.ID, client.ReplayRange{From: time.Now().Add(-time.Hour), To: time.Now()})
		if err != nil {
			return err
		}
		_, err = c.Endpoints.GetReplay(ctx, e.ID, replay.ID)
		return err
	})
	_, err = c.Endpoints.Skip(ctx, e.ID)
	require.ErrorIs(t, err, client.Code("nothing_to_skip"))
	require.NoError(t, c.Endpoints.Delete(ctx, e.ID))
	_, err = c.Endpoints.Get(ctx, e.ID)
	require.ErrorIs(t, err, client.CodeEndpointNotFound)
	ticket, err := c.StreamTicket(ctx)
	require.NoError(t, err)
	require.NotEmpty(t, ticket.Ticket)
}

func TestClientManagesDeadLetters(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	ctx := t.Context()
	tenant := app.CreateTenant("dead", 1).ID
	c := app.API(tenant)
	for range 3 {
		app.Put("tenant_"+tenant+"_queue", "", "not json")
	}
	apptest.Await(t, apptest.Long, func() error {
		if n := len(all(t, c.DeadLetters.List(ctx, client.ListDeadLetters{PageSize: 2}))); n != 3 {
			return apptest.NotYet("3 letters: %d", n)
		}
		return nil
	})
	letters := all(t, c.DeadLetters.List(ctx, client.ListDeadLetters{DeadLetterFilter: client.DeadLetterFilter{Reason: "invalid_payload", To: time.Now().Add(time.Hour)}}))
	require.Len(t, letters, 3)
	letter, err := c.DeadLetters.Get(ctx, letters[0].ID)
	require.NoError(t, err)
	require.Equal(t, "bm90IGpzb24=", *letter.BodyBase64)
	groups, err := c.DeadLetters.Groups(ctx, client.ListDeadLetters{})
	require.NoError(t, err)
	require.Len(t, groups.Data, 1)
	require.Equal(t, 3, groups.Data[0].Count)

	_, err = c.DeadLetters.Purge(ctx, client.SelectDeadLetters{})
	require.Error(t, err, "nothing is not everything")
	replayed, err := c.DeadLetters.Replay(ctx, client.SelectDeadLetters{IDs: []int64{letters[0].ID}})
	require.NoError(t, err)
	require.Equal(t, 1, replayed.Replayed)
	purged, err := c.DeadLetters.Purge(ctx, client.SelectDeadLetters{IDs: []int64{letters[1].ID}})
	require.NoError(t, err)
	require.Equal(t, int64(1), purged.Deleted)
	_, err = c.DeadLetters.Get(ctx, letters[1].ID)
	require.ErrorIs(t, err, client.CodeDeadLetterNotFound)
	_, err = c.DeadLetters.Job(ctx, "0197a3a2-7d2c-7c3e-8f7e-0242ac120002")
	require.ErrorIs(t, err, client.CodeDeadLetterJobNotFound)
	_, err = c.DeadLetters.CancelJob(ctx, "0197a3a2-7d2c-7c3e-8f7e-0242ac120002")
	require.ErrorIs(t, err, client.CodeDeadLetterJobNotFound)
	purged, err = c.DeadLetters.Purge(ctx, client.SelectDeadLetters{All: true})
	require.NoError(t, err)
	require.NotZero(t, purged.Deleted)
}
