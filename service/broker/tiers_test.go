package broker_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/service/broker"
)

// legacyTiers are the retry tiers of earlier versions with their waits. The shorter
// ones expire at once here.
var legacyTiers = map[string]time.Duration{
	"lanekeeper.retry.1s": time.Second, "lanekeeper.retry.5s": 1500 * time.Millisecond, "lanekeeper.retry.30s": 2 * time.Second,
	"lanekeeper.retry.2m": 2500 * time.Millisecond, "lanekeeper.retry.10m": 10 * time.Minute,
}

// declareLegacy declares what earlier versions did, but for the tenant's queues.
func declareLegacy(t *testing.T, ch *amqp.Channel, tenants ...uuid.UUID) {
	t.Helper()
	for name, kind := range map[string]string{"lanekeeper.unrouted": "fanout", "lanekeeper.return": "direct"} {
		var arguments amqp.Table
		if name == "lanekeeper.return" {
			arguments = amqp.Table{"alternate-exchange": "lanekeeper.unrouted"}
		}
		require.NoError(t, ch.ExchangeDeclare(name, kind, true, false, false, false, arguments))
	}
	_, err := ch.QueueDeclare("lanekeeper.orphans", true, false, false, false, amqp.Table{
		"x-queue-type": "quorum", "x-max-length": int64(10_000), "x-overflow": "drop-head",
	})
	require.NoError(t, err)
	require.NoError(t, ch.QueueBind("lanekeeper.orphans", "", "lanekeeper.unrouted", false, nil))
	for name, wait := range legacyTiers {
		require.NoError(t, ch.ExchangeDeclare(name, "fanout", true, false, false, false, nil))
		_, err := ch.QueueDeclare(name, true, false, false, false, amqp.Table{
			"x-queue-type": "quorum", "x-message-ttl": wait.Milliseconds(), "x-dead-letter-exchange": "lanekeeper.return",
			"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish",
		})
		require.NoError(t, err)
		require.NoError(t, ch.QueueBind(name, "", name, false, nil))
	}
	for _, tenant := range tenants {
		require.NoError(t, ch.QueueBind(broker.QueueName(tenant), broker.QueueName(tenant), "lanekeeper.return", false, nil))
	}
}

// exists asks on a channel of its own, which a missing queue closes.
func exists(t *testing.T, url, queue string) bool {
	t.Helper()
	_, err := channel(t, url).QueueDeclarePassive(queue, true, false, false, false, nil)
	var closed *amqp.Error
	require.True(t, err == nil || errors.As(err, &closed) && closed.Code == amqp.NotFound, "%v", err)
	return err == nil
}

func existsExchange(t *testing.T, url, name string) bool {
	t.Helper()
	return channel(t, url).ExchangeDeclarePassive(name, "fanout", true, false, false, false, nil) == nil
}

// What an earlier version left in its retry tiers comes back to the tenants' queues,
// and what is empty afterwards goes; what waits in the longest tier stays for as long
// as it takes.
func TestRetryTiersOfEarlierVersionsAreEmptied(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	b := start(t, url)
	ctx, tenant, gone := t.Context(), uuid.New(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	tiers, messages, err := b.EmptyRetryTiers(ctx)
	require.NoError(t, err, "where there was no earlier version")
	require.Zero(t, tiers)
	require.Zero(t, messages)

	ch := channel(t, url)
	declareLegacy(t, ch, tenant)
	require.NoError(t, ch.Confirm(false))
	put := func(tier string, to uuid.UUID, id string) {
		confirm, err := ch.PublishWithDeferredConfirmWithContext(ctx, tier, broker.QueueName(to), true, false, amqp.Publishing{
			MessageId: id, Body: []byte(`{"n":1}`), DeliveryMode: amqp.Persistent,
			Headers: amqp.Table{"x-attempt": int64(2), "x-published-ms": int64(1_700_000_000_123), "kept": "yes"},
		})
		require.NoError(t, err)
		require.True(t, confirm.Wait())
	}
	var want []string
	for tier := range legacyTiers {
		put(tier, tenant, tier)
		if tier != "lanekeeper.retry.10m" {
			want = append(want, tier)
		}
	}
	put("lanekeeper.retry.1s", gone, "orphan")

	tiers, messages, err = b.EmptyRetryTiers(ctx)
	require.NoError(t, err)
	require.Equal(t, len(legacyTiers), tiers)
	require.LessOrEqual(t, messages, int64(len(legacyTiers)+1))
	require.NoError(t, b.CheckQueues(ctx, tenant)) // as a new version does again and again

	sub, err := broker.Reading(b.Subscribe(ctx, tenant, "tag", 10))
	require.NoError(t, err)
	var got []string
	for range want {
		d := <-sub.Deliveries()
		require.Equal(t, "yes", d.Headers["kept"])
		require.EqualValues(t, 1_700_000_000_123, d.PublishedHere.UnixMilli())
		require.NoError(t, sub.Ack(d.Tag, false))
		got = append(got, d.MessageID)
	}
	require.NoError(t, sub.Close())
	require.ElementsMatch(t, want, got)

	require.Eventually(t, func() bool {
		tiers, messages, err := b.EmptyRetryTiers(ctx)
		require.NoError(t, err)
		return tiers == 1 && messages == 1
	}, 30*time.Second, 10*time.Millisecond)
	for tier := range legacyTiers {
		require.Equal(t, tier == "lanekeeper.retry.10m", exists(t, url, tier), tier)
	}
	require.True(t, existsExchange(t, url, "lanekeeper.retry.10m"), "while somebody may come back")
	require.True(t, exists(t, url, "lanekeeper.orphans"))

	purged, err := channel(t, url).QueuePurge("lanekeeper.retry.10m", false)
	require.NoError(t, err)
	require.Equal(t, 1, purged)
	require.Eventually(t, func() bool {
		tiers, _, err := b.EmptyRetryTiers(ctx)
		require.NoError(t, err)
		return tiers == 0
	}, 30*time.Second, 10*time.Millisecond)
	for _, name := range append(slices.Collect(maps.Keys(legacyTiers)), "lanekeeper.return", "lanekeeper.unrouted") {
		require.False(t, existsExchange(t, url, name), name)
	}
	require.True(t, exists(t, url, "lanekeeper.orphans"), "somebody may want to look at it")

	again := channel(t, url)
	d, ok, err := again.Get("lanekeeper.orphans", true)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "orphan", d.MessageId)
	_, _, err = b.EmptyRetryTiers(ctx)
	require.NoError(t, err)
	require.False(t, exists(t, url, "lanekeeper.orphans"))
	require.True(t, exists(t, url, broker.QueueName(tenant)))
}

// A tier is not deleted the first time that it looks empty: messages that have
// expired and are still on their way do not show.
func TestATierIsFoundEmptySeveralTimes(t *testing.T) {
	t.Parallel()
	url := devtest.RabbitMQ(t)
	b := start(t, url)
	declareLegacy(t, channel(t, url))
	calls := 0
	for tiers := len(legacyTiers); tiers > 0; calls++ {
		var err error
		tiers, _, err = b.EmptyRetryTiers(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, 6, calls)
}
