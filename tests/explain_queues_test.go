package tests

import (
	"encoding/binary"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/tests/apptest"
	"lanekeeper/tests/proxy"
)

// meddler sits between the service and its broker, and disturbs what is about the main
// queue of one tenant while it is told to.
type meddler struct {
	proxy  *proxy.Proxy
	tenant atomic.Value // a string; "" while nothing is disturbed

	// silent has the queue never be asked whether it is there, so that it does not answer.
	silent atomic.Bool
	// forgets has nobody subscribe there, who is told that it is subscribed.
	forgets atomic.Bool
	// ends has connections end on which something of it is delivered.
	ends atomic.Bool
}

// bootMeddled boots the service behind a meddler. The test's own probes do not go
// through it.
func bootMeddled(t *testing.T) (*apptest.App, *meddler) {
	t.Helper()
	broker, m := devtest.RabbitMQ(t), &meddler{}
	m.tenant.Store("")
	var err error
	m.proxy, err = proxy.NewAnswering(t.Context(), broker, proxy.AMQP{}, m.judge, m.answer)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.proxy.Close()) })
	app := apptest.Boot(t, apptest.On(devtest.Postgres(t), m.proxy.URL()))
	app.UseServers(app.Config.Database.URL, broker)
	return app, m
}

// disturb has one of its ways of disturbing a tenant begin.
func (m *meddler) disturb(tenant string, how *atomic.Bool) {
	m.tenant.Store(tenant)
	how.Store(true)
}

// about reports whether a name is that of the queue that is disturbed.
func (m *meddler) about(queue string) bool {
	tenant, _ := m.tenant.Load().(string)
	return tenant != "" && queue == apptest.QueueName(tenant)
}

// named returns the name of the queue that arguments begin with.
func named(arguments []byte) (queue string, rest []byte) {
	const reserved = 2
	return proxy.ShortString(arguments[reserved:])
}

func (m *meddler) judge(frame []byte, to proxy.Side) proxy.Verdict {
	switch method, arguments := proxy.Method(frame); {
	case to == proxy.ToServer && method == proxy.QueueDeclare && m.silent.Load():
		if queue, _ := named(arguments); m.about(queue) {
			return proxy.Drop
		}
	case to == proxy.ToClient && method == proxy.BasicDeliver && m.ends.Load():
		tenant, _ := m.tenant.Load().(string)
		if tag, _ := proxy.ShortString(arguments); strings.HasPrefix(tag, "tenant_"+tenant) {
			return proxy.Cut
		}
	}
	return proxy.Pass
}

// answer tells who subscribes that it is subscribed, and keeps that from the broker.
func (m *meddler) answer(frame []byte) []byte {
	const consumeOK, methodFrame, end = 60<<16 | 21, 1, 0xCE
	method, arguments := proxy.Method(frame)
	if method != proxy.BasicConsume || !m.forgets.Load() {
		return nil
	}
	queue, rest := named(arguments)
	if !m.about(queue) {
		return nil
	}
	tag, _ := proxy.ShortString(rest)
	payload := binary.BigEndian.AppendUint32(nil, consumeOK)
	payload = append(append(payload, byte(len(tag))), tag...)
	answer := append([]byte{methodFrame}, frame[1:3]...) // on the same channel
	answer = binary.BigEndian.AppendUint32(answer, uint32(len(payload)))
	return append(append(answer, payload...), end)
}

// A queue that does not answer while the broker does is told from a broker that does
// not answer.
func TestExplainSilentQueue(t *testing.T) {
	t.Parallel()
	app, m := bootMeddled(t)
	tenant, other := app.CreateTenant("silent", 1).ID, app.CreateTenant("other", 1).ID
	flows(t, app.Client, tenant)
	m.disturb(tenant, &m.silent)
	e, cause := explained(t, app.Client, tenant, "queue_silent")
	require.False(t, e.Flows)
	require.Equal(t, "The tenant's queue does not answer, while the broker does: its leader may be gone, or the queue is stuck.", cause.Sentence)
	require.Contains(t, cause.Help, "`rabbitmq-queues quorum_status "+apptest.QueueName(tenant)+"`")
	require.Empty(t, flows(t, app.Client, other).Causes, "the queues of others answer")
	m.silent.Store(false)
	m.proxy.CutAll() // what the broker never got it will never answer
	flows(t, app.Client, tenant)
	app.Publish(tenant, `1`)
	app.Stored(tenant, 1)
}

// A consumer of which the broker knows nothing is named until the service finds out.
func TestExplainForgottenConsumer(t *testing.T) {
	t.Parallel()
	app, m := bootMeddled(t)
	tenant := app.CreateTenant("forgotten", 1).ID
	app.Want(http.StatusAccepted, nil, "DELETE", "/api/consumers/"+tenant, nil)
	app.PublishAll(tenant, numbered(3))
	m.disturb(tenant, &m.forgets)
	app.Want(http.StatusAccepted, nil, "POST", "/api/consumers/"+tenant, nil)
	e, cause := explained(t, app.Client, tenant, "consumer_forgotten")
	require.False(t, e.Flows)
	require.Equal(t, "The broker has forgotten the consumer: the queue has none, and 3 messages wait. The service notices within 10 seconds of a publication, or within 40, and subscribes again.", cause.Sentence)
	require.Contains(t, cause.Help, "lanekeeper tenants stop "+tenant)
	m.forgets.Store(false)
	app.Stored(tenant, 3)
	flows(t, app.Client, tenant)
}

// Where the head of a queue ends each connection on which it is delivered, that is said,
// and nobody else suffers from it.
func TestExplainQueueThatEndsConnections(t *testing.T) {
	t.Parallel()
	app, m := bootMeddled(t)
	tenant := app.CreateTenant("unreadable", 1).ID
	m.disturb(tenant, &m.ends)
	app.PublishAll(tenant, numbered(2))
	apptest.Await(t, apptest.Long, func() error {
		e, cause := explained(t, app.Client, tenant, "unreadable_message")
		require.False(t, e.Flows)
		require.Contains(t, cause.Help, "Take the message out of the queue")
		// Now and then they are not back in the queue yet.
		return apptest.Matches(`^The connection ends each time the first messages of the queue are delivered since .*: one of them can probably not be read; 2 messages wait\.$`, cause.Sentence)
	})
	m.ends.Store(false)
	app.Stored(tenant, 2)
	flows(t, app.Client, tenant)
}

// A queue that is gone, and cannot be made again or at all, is named for a tenant that
// had one, and for one that is being made.
func TestExplainMissingQueue(t *testing.T) {
	t.Parallel()
	v := devtest.NewVirtualHost(t)
	app := apptest.Boot(t, apptest.On(devtest.Postgres(t), v.URL))
	tenant := app.CreateTenant("robbed", 1).ID
	v.Limit("max-queues", 0)
	app.DeleteQueue(apptest.QueueName(tenant))
	e, cause := explained(t, app.Client, tenant, "queue_missing")
	require.False(t, e.Flows)
	require.Equal(t, "The tenant's queue does not exist, or does not work; the service is making it again.", cause.Sentence)
	require.Contains(t, cause.Help, "lanekeeper doctor --fix")
	v.Limit("max-queues", -1)
	flows(t, app.Client, tenant)
	app.Publish(tenant, `1`)
	app.Stored(tenant, 1)
}

// Where the broker lets nobody read, the consumer tries again and again, and admins see
// why.
func TestExplainLostSubscription(t *testing.T) {
	t.Parallel()
	v := devtest.NewVirtualHost(t)
	app := apptest.Boot(t, apptest.On(devtest.Postgres(t), v.URL))
	tenant := app.CreateTenant("lost", 1).ID
	app.Want(http.StatusAccepted, nil, "DELETE", "/api/consumers/"+tenant, nil)
	app.PublishAll(tenant, numbered(3))
	v.LetRead("^$")
	app.Call("POST", "/api/consumers/"+tenant, nil)
	e, cause := explained(t, app.Client, tenant, "consumer_reconnecting")
	require.False(t, e.Flows)
	require.Regexp(t, `^The consumer has no subscription since .* and tries again: .*ACCESS_REFUSED.*; 3 messages wait\.$`, cause.Sentence)
	require.Contains(t, cause.Data.Error, "ACCESS_REFUSED")
	v.LetRead(".*")
	app.Stored(tenant, 3)
	flows(t, app.Client, tenant)
}

// What somebody else takes from the queue, and does not return, is stored by nobody,
// though the consumer runs.
func TestExplainStalledConsumer(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("stalled", 1).ID
	app.Want(http.StatusAccepted, nil, "DELETE", "/api/consumers/"+tenant, nil)
	foreign := app.Channel()
	require.NoError(t, foreign.Qos(1, 0, false))
	_, err := foreign.Consume(apptest.QueueName(tenant), "somebody else", false, false, false, false, nil)
	require.NoError(t, err)
	app.PublishAll(tenant, numbered(4))
	app.Want(http.StatusAccepted, nil, "POST", "/api/consumers/"+tenant, nil)
	e, cause := explained(t, app.Client, tenant, "stalled")
	require.False(t, e.Flows)
	require.Equal(t, "3 messages wait and none is stored, although the consumer runs; nothing was stored before. Nothing that is known explains it.", cause.Sentence)
	require.Contains(t, cause.Help, "lanekeeper tenants stop "+tenant+" && lanekeeper tenants start "+tenant)
	require.NoError(t, foreign.Close())
	app.Stored(tenant, 4)
	flows(t, app.Client, tenant)
}
