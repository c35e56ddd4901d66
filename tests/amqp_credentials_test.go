package tests

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
	"lanekeeper/tests/proxy"
)

// amqpClient is a client of a tenant's, on a connection of its own.
type amqpClient struct {
	t       *testing.T
	conn    *amqp.Connection
	closing chan *amqp.Error
}

func newAMQPClient(t *testing.T, c apptest.AMQPCredentials) *amqpClient {
	t.Helper()
	conn, err := c.Dial()
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) }) // it may be closed by now
	return &amqpClient{t: t, conn: conn, closing: conn.NotifyClose(make(chan *amqp.Error, 1))}
}

// try does something on a channel of its own, and returns the error with which the
// broker answers; nil when it goes well.
func (c *amqpClient) try(work func(context.Context, *amqp.Channel) error) *amqp.Error {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), apptest.Long)
	defer cancel()
	ch, err := c.conn.Channel()
	require.NoError(c.t, err)
	closed := ch.NotifyClose(make(chan *amqp.Error, 1))
	if err := work(ctx, ch); err == nil {
		require.NoError(c.t, ch.Close())
	}
	return <-closed
}

// publish returns nil once the broker has confirmed the message.
func (c *amqpClient) publish(exchange, key string, message amqp.Publishing) *amqp.Error {
	c.t.Helper()
	return c.try(func(ctx context.Context, ch *amqp.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		confirm, err := ch.PublishWithDeferredConfirmWithContext(ctx, exchange, key, true, false, message)
		if err != nil {
			return err
		}
		acked, err := confirm.WaitContext(ctx)
		if err == nil && !acked {
			err = amqp.ErrClosed
		}
		return err
	})
}

// closed waits until the broker ends the connection.
func (c *amqpClient) closed() {
	c.t.Helper()
	select {
	case reason := <-c.closing:
		c.t.Log("closed:", reason)
	case <-time.After(apptest.Long):
		require.FailNow(c.t, "the connection is still open")
	}
}

// What a tenant's client may do by AMQP is to publish to its own tenant, and nothing
// else: neither through the default exchange, for which permissions know no routing
// keys, nor by anything that its messages claim.
func TestAMQPCredentials(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.ManagingUsers(t))
	tenant, other := app.CreateTenant("own", 1).ID, app.CreateTenant("other", 1).ID
	app.Refused(http.StatusNotFound, "amqp_credentials_not_found", "GET", apptest.AMQPPath(tenant), nil)
	app.Refused(http.StatusNotFound, "amqp_credentials_not_found", "DELETE", apptest.AMQPPath(tenant), nil)
	issued, ofOther := app.IssueAMQP(tenant), app.IssueAMQP(other)
	require.NotEqual(t, issued.Password, ofOther.Password)
	require.NotContains(t, issued.URL, issued.Password)
	c := newAMQPClient(t, issued)

	id := uuid.NewString()
	forged := amqp.Table{
		"x-published-ms": time.Now().UnixMilli(), "CC": []any{apptest.QueueName(other)}, "BCC": []any{apptest.QueueName(other)},
		"x-reason": "not_storable", "x-attempts": int64(7), "x-dead-letter-id": uuid.NewString(), "x-delivery-count": int64(900), "source": "shop",
	}
	message := amqp.Publishing{MessageId: id, Type: "order.created", Headers: forged, Body: []byte(`{"tenant_id":"` + other + `"}`), DeliveryMode: amqp.Persistent}
	require.Nil(t, c.publish(issued.Exchange, issued.RoutingKey, message))
	require.Nil(t, c.publish(issued.Exchange, apptest.QueueName(other), message), "no routing key leads elsewhere")
	stored := app.Stored(tenant, 1)
	require.Equal(t, id, stored[0].ID)
	require.Equal(t, "order.created", stored[0].Type)
	require.Zero(t, app.Metrics().Value("lanekeeper_end_to_end_seconds"), "a time that the client claims is not measured")

	queue, exchange := apptest.QueueName(other), ofOther.Exchange
	for name, refused := range map[string]func(context.Context, *amqp.Channel) error{
		"declare a queue": func(_ context.Context, ch *amqp.Channel) error {
			_, err := ch.QueueDeclare("mine", true, false, false, false, nil)
			return err
		},
		"declare a queue of its": func(_ context.Context, ch *amqp.Channel) error {
			_, err := ch.QueueDeclare("", false, true, true, false, nil)
			return err
		},
		"declare an exchange": func(_ context.Context, ch *amqp.Channel) error {
			return ch.ExchangeDeclare("mine", "fanout", true, false, false, false, nil)
		},
		"consume": func(_ context.Context, ch *amqp.Channel) error {
			_, err := ch.Consume(apptest.QueueName(tenant), "", true, false, false, false, nil)
			return err
		},
		"consume another's": func(_ context.Context, ch *amqp.Channel) error {
			_, err := ch.Consume(queue, "", true, false, false, false, nil)
			return err
		},
		"get":   func(_ context.Context, ch *amqp.Channel) error { _, _, err := ch.Get(queue, true); return err },
		"purge": func(_ context.Context, ch *amqp.Channel) error { _, err := ch.QueuePurge(queue, false); return err },
		"delete its own queue": func(_ context.Context, ch *amqp.Channel) error {
			_, err := ch.QueueDelete(apptest.QueueName(tenant), false, false, false)
			return err
		},
		"delete a queue": func(_ context.Context, ch *amqp.Channel) error {
			_, err := ch.QueueDelete(queue, false, false, false)
			return err
		},
		"delete its exchange": func(_ context.Context, ch *amqp.Channel) error {
			return ch.ExchangeDelete(issued.Exchange, false, false)
		},
		"bind": func(_ context.Context, ch *amqp.Channel) error {
			return ch.QueueBind(queue, "", issued.Exchange, false, nil)
		},
		"unbind": func(_ context.Context, ch *amqp.Channel) error {
			return ch.QueueUnbind(apptest.QueueName(tenant), "", issued.Exchange, nil)
		},
		"bind exchanges": func(_ context.Context, ch *amqp.Channel) error {
			return ch.ExchangeBind(exchange, "", issued.Exchange, false, nil)
		},
		"bind from an exchange": func(_ context.Context, ch *amqp.Channel) error {
			return ch.ExchangeBind(issued.Exchange, "", exchange, false, nil)
		},
	} {
		refusal := c.try(refused)
		require.NotNil(t, refusal, name)
		require.Equal(t, amqp.AccessRefused, refusal.Code, "%s: %v", name, refusal)
	}
	for _, elsewhere := range [][2]string{
		{"", queue},
		{"", apptest.QueueName(tenant)},
		{"", apptest.DeadLetterQueueName(other)},
		{exchange, ""},
		{"lanekeeper.dead", apptest.DeadLetterQueueName(other)},
		{"amq.direct", queue},
		{"amq.topic", queue},
		{"amq.fanout", ""},
		{"no.such.exchange", ""},
	} {
		refusal := c.publish(elsewhere[0], elsewhere[1], amqp.Publishing{Body: []byte(`1`)})
		require.NotNil(t, refusal, "%v", elsewhere)
		require.Equal(t, amqp.AccessRefused, refusal.Code, "%v: %v", elsewhere, refusal)
	}
	refusal := c.publish(issued.Exchange, "", amqp.Publishing{Body: []byte(`1`), UserId: ofOther.Username})
	require.Equal(t, amqp.PreconditionFailed, refusal.Code, "no message comes from another user: %v", refusal)
	require.Empty(t, app.History(other, 10))
	app.RequireNoDeadLetters(other)

	// What RabbitMQ asks no permission for: docs/operations.md says so.
	require.Nil(t, c.try(func(_ context.Context, ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(queue, true, false, false, false, nil)
		return err
	}))
}

// One user for each tenant: another password ends what was opened with the one before,
// and so does revoking.
func TestAMQPCredentialsAreRotatedAndRevoked(t *testing.T) {
	t.Parallel()
	app := apptest.New(t, apptest.ManagingUsers(t), func(c *config.Config) { c.RabbitMQ.PublicURL = "amqps://broker.example.com:5671" })
	text := app.RecordLog()
	app.Start()
	tenant := app.CreateTenant("own", 1).ID
	first := app.IssueAMQP(tenant)
	require.Equal(t, "amqps://broker.example.com:5671/"+url.PathEscape(first.VHost), first.URL)
	here := func(c apptest.AMQPCredentials) apptest.AMQPCredentials {
		c.URL = strings.Replace(app.Config.RabbitMQ.URL, "guest:guest@", "", 1)
		return c
	}
	before := newAMQPClient(t, here(first))
	second := app.IssueAMQP(tenant)
	require.Equal(t, first.Username, second.Username)
	require.Equal(t, first.CreatedAt, second.CreatedAt)
	before.closed()
	old := here(first)
	_, err := old.Dial()
	require.ErrorContains(t, err, "403")
	c := newAMQPClient(t, here(second))
	require.Nil(t, c.publish(second.Exchange, "", amqp.Publishing{Body: []byte(`1`)}))
	var shown apptest.AMQPCredentials
	app.Want(http.StatusOK, &shown, "GET", apptest.AMQPPath(tenant), nil)
	second.Password = ""
	require.Equal(t, second, shown)

	app.SetStatus(tenant, "inactive")
	app.Refused(http.StatusConflict, "tenant_inactive", "POST", apptest.AMQPPath(tenant), nil)
	app.SetStatus(tenant, "active")
	app.Want(http.StatusNoContent, nil, "DELETE", apptest.AMQPPath(tenant), nil)
	c.closed()
	app.Refused(http.StatusNotFound, "amqp_credentials_not_found", "GET", apptest.AMQPPath(tenant), nil)
	app.Stored(tenant, 1)

	third := app.IssueAMQP(tenant)
	c = newAMQPClient(t, here(third))
	app.Delete(tenant)
	require.Empty(t, apptest.Query[string](app.Probes, `SELECT tenant_id::text FROM amqp_credentials`), "they end with it, and not some time after")
	c.closed()
	var page auditPage
	app.Want(http.StatusOK, &page, "GET", "/audit?action=amqp_credentials.&tenant_id="+tenant, nil)
	var actions []string
	for _, line := range page.Data {
		actions = append(actions, strings.TrimPrefix(line.Action, "amqp_credentials."))
	}
	require.Equal(t, []string{"create", "revoke", "rotate", "create"}, actions[len(actions)-4:])
	for _, issued := range []string{first.Password, third.Password} {
		require.NotContains(t, text(), issued)
		require.NotContains(t, apptest.QueryRow[string](app.Probes, `SELECT coalesce(string_agg(a::text, ' '), '') FROM audit a`), issued)
	}
}

// A queue that is lost takes its binding along, and a client would be told that what it
// publishes was taken: whoever makes the queue binds it again.
func TestAMQPClientsSurviveTheirQueue(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.ManagingUsers(t))
	tenant := app.CreateTenant("own", 1).ID
	issued := app.IssueAMQP(tenant)
	app.DeleteQueue(apptest.QueueName(tenant))
	apptest.Await(t, apptest.Long, func() error {
		if q := app.Queue(apptest.QueueName(tenant)); q.Consumers == 0 {
			return apptest.NotYet("consumers: %d", q.Consumers)
		}
		return nil
	})
	require.Nil(t, newAMQPClient(t, issued).publish(issued.Exchange, "", amqp.Publishing{Body: []byte(`1`)}))
	app.Stored(tenant, 1)
}

// What was interrupted leaves no user behind, and a management API that is away keeps no
// tenant from being deleted.
func TestAMQPCredentialsAreCleanedUp(t *testing.T) {
	t.Parallel()
	v := devtest.NewVirtualHost(t)
	var away atomic.Bool
	management, err := proxy.New(t.Context(), v.AdminManagementURL("tenant_"), proxy.Bytes{}, func([]byte, proxy.Side) proxy.Verdict {
		if away.Load() {
			return proxy.Cut
		}
		return proxy.Pass
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, management.Close()) })
	app := apptest.Boot(t, apptest.Managing(v), func(c *config.Config) { c.RabbitMQ.ManagementURL = management.URL() })
	tenant, interrupted, orphan := app.CreateTenant("own", 1).ID, app.CreateTenant("interrupted", 1).ID, uuid.NewString()
	issued := app.IssueAMQP(tenant)

	away.Store(true)
	app.Refused(http.StatusServiceUnavailable, "broker_unavailable", "POST", apptest.AMQPPath(interrupted), nil)
	app.Refused(http.StatusNotFound, "amqp_credentials_not_found", "GET", apptest.AMQPPath(interrupted), nil)
	app.Refused(http.StatusServiceUnavailable, "broker_unavailable", "DELETE", apptest.AMQPPath(tenant), nil)
	app.Delete(tenant)
	require.True(t, v.HasUser(issued.Username))
	require.Len(t, apptest.Query[string](app.Probes, `SELECT state FROM amqp_credentials`), 2)
	app.Stop()
	found, err := examine(t, app)
	require.Error(t, err)
	require.Len(t, found, 3, "%v", found)

	// As after a crash while one was being made, and as after a record that was lost.
	v.AddUser("tenant_" + interrupted)
	v.AddUser("tenant_" + orphan)
	away.Store(false)
	found, err = examine(t, app)
	require.Error(t, err)
	requireFindings(t, found, "found", map[string]string{
		tenant: "have to be revoked", interrupted: "have to be revoked", orphan: "without a record",
	})
	app.Start()
	apptest.Await(t, apptest.Long, func() error {
		if v.HasUser(issued.Username) || v.HasUser("tenant_"+interrupted) {
			return apptest.NotYet("users are still there")
		}
		if n := apptest.QueryRow[int64](app.Probes, `SELECT count(*) FROM amqp_credentials`); n != 0 {
			return apptest.NotYet("records: %d", n)
		}
		return nil
	})
	found, err = examine(t, app, "--fix")
	require.NoError(t, err)
	requireFindings(t, found, "repaired", map[string]string{orphan: "without a record"})
	require.False(t, v.HasUser("tenant_"+orphan))
}

// Without the management API, and where it does not let the service manage users,
// nobody gets credentials, and nothing is left of the attempt.
func TestAMQPCredentialsAreNotConfigured(t *testing.T) {
	t.Parallel()
	v := devtest.NewVirtualHost(t)
	for name, management := range map[string]string{"none": "", "not an administrator": v.ManagementURL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			app := apptest.Boot(t, apptest.On(devtest.Postgres(t), v.Admin()), func(c *config.Config) { c.RabbitMQ.ManagementURL = management })
			tenant := app.CreateTenant("own", 1).ID
			app.Refused(http.StatusConflict, "amqp_not_configured", "POST", apptest.AMQPPath(tenant), nil)
			app.Refused(http.StatusNotFound, "amqp_credentials_not_found", "GET", apptest.AMQPPath(tenant), nil)
			app.Refused(http.StatusNotFound, "amqp_credentials_not_found", "DELETE", apptest.AMQPPath(tenant), nil)
			require.Empty(t, apptest.Query[string](app.Probes, `SELECT state FROM amqp_credentials`))
			found, err := examine(t, app)
			require.NoError(t, err, "%v", found)
		})
	}
}

// Whatever is asked for at the same time, also at two replicas: in the end there is a
// user with a record, whose password somebody was told, or neither.
func TestAMQPCredentialsAtTheSameTime(t *testing.T) {
	t.Parallel()
	v := devtest.NewVirtualHost(t)
	one := apptest.New(t, apptest.Managing(v))
	one.Start()
	two := apptest.Boot(t, apptest.Managing(v), apptest.On(one.Config.Database.URL, one.Config.RabbitMQ.URL))
	tenant := one.CreateTenant("own", 1).ID
	for range 2 {
		var calls sync.WaitGroup
		told := make(chan apptest.AMQPCredentials, 6)
		for i := range cap(told) {
			calls.Go(func() {
				c := one.Client
				if i%2 == 1 {
					c = two.Client
				}
				if i%3 == 2 {
					c.Call("DELETE", apptest.AMQPPath(tenant), nil)
					return
				}
				var issued apptest.AMQPCredentials
				answer := c.Call("POST", apptest.AMQPPath(tenant), nil)
				if answer.Status == http.StatusCreated && json.Unmarshal(answer.Body, &issued) == nil {
					told <- issued
				}
			})
		}
		calls.Wait()
		there := one.Call("GET", apptest.AMQPPath(tenant), nil).Status == http.StatusOK
		require.Equal(t, there, v.HasUser("tenant_"+tenant))
		close(told)
		works := 0
		for issued := range told {
			if conn, err := issued.Dial(); err == nil {
				works++
				_ = conn.CloseDeadline(time.Now().Add(time.Second)) // it is only to be opened
			}
		}
		require.Equal(t, there, works == 1, "%d passwords work", works)
	}
	one.Delete(tenant)
	require.False(t, v.HasUser("tenant_"+tenant))
}
