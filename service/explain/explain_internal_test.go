package explain

import (
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/digits"
)

var (
	now      = time.Date(2026, 11, 21, 10, 12, 5, 0, time.UTC)
	tenantID = uuid.MustParse("0197a3a2-7d2c-7c3e-8f7e-0242ac120002")
	userID   = uuid.MustParse("0197a3a2-0000-7000-8000-000000000001")
	hookID   = uuid.MustParse("0197a3a2-7d2c-7c3e-8f7e-0242ac120004")
	firstID  = uuid.MustParse("0197a3a3-11d2-7a51-9a3e-0242ac120003")
	ago      = now.Add(-12 * time.Minute)
)

// quiet is what is known of a tenant that flows, as an admin asks for it.
func quiet() *facts {
	return &facts{
		now: now, replica: "host-1", probeEvery: 30 * time.Second,
		tenant:   domain.Tenant{ID: tenantID, Status: domain.TenantActive, Workers: 3, OwnerID: userID, CreatedAt: ago},
		caller:   domain.Principal{Role: domain.RoleAdmin},
		consumer: domain.ConsumerStatus{State: domain.ConsumerRunning, Workers: 3, Replica: "host-1", Since: ago, LastError: "an error"},
		queue:    domain.QueueCounts{Consumers: 1},
		known:    domain.TenantFacts{At: now, LastSeq: 40, Deliverer: "host-1"},
		progress: domain.StoreProgress{LastAt: now.Add(-40 * time.Millisecond), Rate: 212.4, Counted: 3000, CountedFor: 14 * time.Second},
	}
}

// withEndpoint adds an endpoint that has not got 12 messages.
func withEndpoint(f *facts, change func(*domain.EndpointFacts)) {
	e := domain.EndpointFacts{
		Endpoint: domain.Endpoint{
			ID: hookID, URL: "https://user:secret@hooks.example.com/orders?token=secret", Status: domain.EndpointActive, Ordering: domain.OrderingNone,
			UpdatedAt: ago, Retry: domain.DefaultRetryPolicy(),
		},
		Progress: domain.EndpointProgress{Settled: 28, Last: 40},
	}
	change(&e)
	f.known.Endpoints = []domain.EndpointFacts{e}
}

func failing(e *domain.EndpointFacts) {
	e.Failed = domain.OpenDelivery{Seq: 29, MessageID: firstID, OrderingKey: "k", Attempts: 3, LastStatus: 503, LastError: "status 503"}
	e.FailedNext = now.Add(4 * time.Minute)
}

// consumerIs sets the state of a consumer whose queue holds 1,240 messages.
func consumerIs(s domain.ConsumerState, t domain.ConsumerTrouble) func(*facts) {
	return func(f *facts) { f.consumer.State, f.consumer.Trouble, f.queue.Ready = s, t, 1240 }
}

func storeIs(kind domain.StoreTroubleKind) func(*facts) {
	return func(f *facts) {
		f.consumer.Store = domain.StoreTrouble{Kind: kind, Since: now.Add(-90 * time.Second)}
		f.queue.Ready, f.consumer.Held = 1000, 240
	}
}

const sinceThen = ` since 10:00:05 UTC (12 minutes)`

// Each condition has its kind, and its sentence, exactly.
func TestSentences(t *testing.T) {
	t.Parallel()
	hook := `The endpoint hooks.example.com/orders `
	for name, c := range map[string]struct {
		change         func(*facts)
		kind           domain.CauseKind
		sentence, help string
	}{
		"provisioning": {
			func(f *facts) { f.tenant.Status = domain.TenantProvisioning }, domain.CauseProvisioning,
			"The tenant is being made" + sinceThen + "; until its queue and its partition are there nothing is accepted.", "After 30 seconds, look at /readyz and run `lanekeeper doctor`: the broker or the database may be away.",
		},
		"inactive": {func(f *facts) {
			f.tenant.Status, f.queue.Ready = domain.TenantInactive, 1
			f.known.Inactive = &domain.Deed{At: ago, By: domain.CauseActor{Actor: domain.Actor{Kind: domain.ActorKey}, Name: "shop"}}
		}, domain.CauseInactive, `The tenant was made inactive by the API key "shop" at 10:00:05 UTC (12 minutes ago): nothing is accepted or stored, and 1 message waits.`, "PATCH /tenants/0197a3a2-7d2c-7c3e-8f7e-0242ac120002 {\"status\":\"active\"}"},
		"stopped": {func(f *facts) {
			f.tenant.Stopped, f.queue.Ready = true, 1240
			f.known.Stopped = &domain.Deed{At: ago, By: domain.CauseActor{Actor: domain.Actor{Kind: domain.ActorUser, UserID: userID}, Name: "ada@example.com"}}
		}, domain.CauseStopped, "The consumer was stopped by ada@example.com at 10:00:05 UTC (12 minutes ago): 1,240 messages wait to be stored, and publishing goes on.", "lanekeeper tenants start 0197a3a2-7d2c-7c3e-8f7e-0242ac120002"},
		"stopped, nobody knows by whom": {
			func(f *facts) { f.tenant.Stopped = true }, domain.CauseStopped,
			"The consumer was stopped: nothing waits to be stored, and publishing goes on.", "lanekeeper tenants start 0197a3a2-7d2c-7c3e-8f7e-0242ac120002",
		},
		"database away": {func(f *facts) {
			f.databaseErr, f.knownErr, f.progressErr = domain.ErrUnavailable, domain.ErrUnavailable, domain.ErrUnavailable
			storeIs(domain.StoreAway)(f)
		}, domain.CauseDatabaseAway, "The database does not answer since 10:10:35 UTC (90 s): nothing is stored, and 1,240 messages wait; publishing goes on.", "Look at PostgreSQL, and at the network to it. Nothing is lost, and it goes on by itself."},
		"database away from the owner": {
			func(f *facts) { storeIs(domain.StoreAway)(f); f.consumer.Replica = "host-2" }, domain.CauseDatabaseAway,
			"The database does not answer for the replica host-2 since 10:10:35 UTC (90 s): nothing is stored, and 1,240 messages wait; publishing goes on.", "Look at PostgreSQL, and at the network to it. Nothing is lost, and it goes on by itself.",
		},
		"away for the one that asks, whom it answers": {
			storeIs(domain.StoreAway), domain.CauseStoreRefuses,
			"The database answers and takes nothing since 10:10:35 UTC (90 s): its disk may be full, it may be read-only, or wait for a standby; 1,240 messages wait.", "The log of the service says what PostgreSQL refuses (`store unavailable`, `tenant parked by the writer`). Nothing is lost, and it goes on by itself.",
		},
		"refuses": {
			storeIs(domain.StoreRefuses), domain.CauseStoreRefuses,
			"The database answers and takes nothing since 10:10:35 UTC (90 s): its disk may be full, it may be read-only, or wait for a standby; 1,240 messages wait.", "The log of the service says what PostgreSQL refuses (`store unavailable`, `tenant parked by the writer`). Nothing is lost, and it goes on by itself.",
		},
		"locked": {func(f *facts) {
			storeIs(domain.StoreLocked)(f)
			f.locks = []domain.LockHolder{{PID: 4711, User: "postgres", Application: "psql", State: "idle in transaction", Since: ago}}
		}, domain.CausePartitionLocked, "The tenant's partition is locked since 10:10:35 UTC (90 s) by the session with pid 4711 (postgres, psql), idle in transaction, in a transaction for 12 minutes: nothing is stored, and 1,240 messages wait.", "End its transaction, or end it: SELECT pg_terminate_backend(4711). Nothing is lost, and it goes on by itself."},
		"locked, holder unknown": {
			func(f *facts) {
				f.progressErr = domain.New(domain.ErrUnavailable, "x", "x").Because(domain.ErrContended)
			}, domain.CausePartitionLocked,
			"The tenant's partition is locked by another session of the database: nothing is stored, and nothing waits.", "Ask those who run the database to end that transaction. Nothing is lost, and it goes on by itself.",
		},
		"partition missing": {
			storeIs(domain.StorePartitionMissing), domain.CausePartitionMissing,
			"The tenant's partition is missing, or behind its history since 10:10:35 UTC (90 s): 1,240 messages wait.", "The service makes it again within seconds; if not, `lanekeeper doctor --fix` does.",
		},
		"broker away": {func(f *facts) {
			f.broker.Away, f.queueErr = true, domain.ErrUnavailable
			f.consumer.State, f.consumer.Depth = domain.ConsumerReconnecting, 7
		}, domain.CauseBrokerAway, "The message broker cannot be reached" + sinceThen + ": nothing is accepted or stored; 7 messages wait, as last seen.", "Look at RabbitMQ, and at the network to it. What was accepted is kept there, and it goes on by itself."},
		"broker silent": {
			func(f *facts) { f.brokerSilent, f.queueErr, f.consumer.Depth = true, domain.ErrUnavailable, -1 }, domain.CauseBrokerAway,
			"The message broker does not answer: nothing is accepted or stored; how many messages wait is not known.", "Look at RabbitMQ, and at the network to it. What was accepted is kept there, and it goes on by itself.",
		},
		"queue silent": {
			func(f *facts) { f.queueErr = domain.ErrUnavailable }, domain.CauseQueueSilent,
			"The tenant's queue does not answer, while the broker does: its leader may be gone, or the queue is stuck.", "`rabbitmq-queues quorum_status tenant_0197a3a2-7d2c-7c3e-8f7e-0242ac120002_queue` says who leads it; `lanekeeper doctor` whether it works.",
		},
		"queue missing": {
			func(f *facts) { f.queueErr = domain.ErrNotFound }, domain.CauseQueueMissing,
			"The tenant's queue does not exist, or does not work; the service is making it again.", "If it is not there in 30 seconds, run `lanekeeper doctor --fix`. What was in a queue that somebody deleted is gone.",
		},
		"starting": {consumerIs(domain.ConsumerStarting, ""), domain.CauseConsumerStarting, "The consumer is starting" + sinceThen + ": 1,240 messages wait.", "After a minute, look at the log of its replica: host-1."},
		"nobody's": {
			func(f *facts) { consumerIs(domain.ConsumerStarting, "")(f); f.consumer.Replica = "" }, domain.CauseConsumerStarting,
			"No replica consumes the tenant yet: 1,240 messages wait.", "A replica takes it within 15 seconds. If not: GET /consumers, and the logs of the replicas.",
		},
		"moving":  {consumerIs(domain.ConsumerDraining, ""), domain.CauseConsumerMoving, "The consumer finishes what it began and then moves, or begins anew" + sinceThen + ": 1,240 messages wait.", "Nothing is lost, and it goes on by itself."},
		"refused": {consumerIs(domain.ConsumerReconnecting, domain.TroubleRefused), domain.CauseConsumerRefused, "The broker does not let the consumer subscribe" + sinceThen + ", because a limit set there is reached: 1,240 messages wait.", "Raise the broker's limit of connections or channels (vhost, user, channel_max), or delete tenants. Nothing is lost, and it goes on by itself."},
		"lost":    {consumerIs(domain.ConsumerReconnecting, ""), domain.CauseConsumerLost, "The consumer has no subscription" + sinceThen + " and tries again: an error; 1,240 messages wait.", "If it goes on for a minute, look at the broker's log for this tenant's queue."},
		"backlog, just begun": {
			func(f *facts) {
				f.queue.Ready, f.consumer.Held, f.progress.Counted, f.progress.CountedFor = 12_000, 400, 4, 2*time.Second
			}, domain.CauseBacklog,
			"12,400 messages wait to be stored.", "",
		},
		"forgotten": {
			func(f *facts) { f.queue = domain.QueueCounts{Ready: 3} }, domain.CauseConsumerForgotten,
			"The broker has forgotten the consumer: the queue has none, and 3 messages wait. The service notices within 10 seconds of a publication, or within 40, and subscribes again.", "If it does not: lanekeeper tenants stop 0197a3a2-7d2c-7c3e-8f7e-0242ac120002 && lanekeeper tenants start 0197a3a2-7d2c-7c3e-8f7e-0242ac120002",
		},
		"replica gone": {
			func(f *facts) { f.queue, f.replica = domain.QueueCounts{Ready: 3}, "host-2" }, domain.CauseConsumerStarting,
			"The replica that consumes the tenant (host-1) seems to be gone, for its queue has no consumer: 3 messages wait.", "Another one takes it within 15 seconds. If not: GET /consumers, and the logs of the replicas.",
		},
		"replica frozen": {
			func(f *facts) {
				f.queue, f.replica, f.consumer.Unheard = domain.QueueCounts{Ready: 3, Consumers: 1}, "host-2", 7*time.Second
			}, domain.CauseConsumerStarting,
			"The replica that consumes the tenant (host-1) was last heard of 7 s ago: 3 messages wait.", "Another one takes it within 15 seconds. If not: GET /consumers, and the logs of the replicas.",
		},
		"unknown": {consumerIs(domain.ConsumerUnknown, ""), domain.CauseConsumerUnknown, "Another replica consumes the tenant, and what it reports cannot be read at the moment.", "Ask that replica, or try again: the database may be slow."},
		"unreadable": {
			consumerIs(domain.ConsumerReconnecting, domain.TroubleUnreadable), domain.CauseUnreadable,
			"The connection ends each time the first messages of the queue are delivered" + sinceThen + ": one of them can probably not be read; 1,240 messages wait.", "The tenant has a connection of its own, so no other one suffers. Take the message out of the queue, by the broker's management.",
		},
		"stalled": {
			func(f *facts) {
				f.still, f.queue.Ready = true, 2
				f.progress = domain.StoreProgress{LastAt: ago}
			}, domain.CauseStalled, "2 messages wait and none is stored, although the consumer runs; the last one was stored at 10:00:05 UTC (12 minutes ago). Nothing that is known explains it.",
			"lanekeeper tenants stop 0197a3a2-7d2c-7c3e-8f7e-0242ac120002 && lanekeeper tenants start 0197a3a2-7d2c-7c3e-8f7e-0242ac120002 makes the subscription anew; then those who run the service should look at its log.",
		},
		"blocked": {
			func(f *facts) { f.broker.Blocked = true }, domain.CauseBrokerBlocked,
			"The message broker takes no publications, because it is short of disk or memory; what waits goes on being stored.", "Give RabbitMQ room: `rabbitmq-diagnostics alarms` says of what. Callers get 503 until then.",
		},
		"backlog full": {func(f *facts) {
			f.refusal = domain.New(domain.ErrLimited, "backlog_full", "The tenant's queue holds 5 messages or more.").Because(domain.ErrBacklogFull)
		}, domain.CauseBacklogFull, "Publishing is refused: The tenant's queue holds 5 messages or more.", "Let what waits be stored, or raise max_backlog in the configuration."},
		"quota": {
			func(f *facts) { f.refusal = domain.QuotaExceeded("backlog_mib", "About %d MiB or more wait.", 4096) }, domain.CauseQuotaExceeded,
			"Publishing is refused: About 4096 MiB or more wait.", `Let what waits be stored, or raise the owner's limit: PATCH /users/{id} {"limits":{...}}, or limits.* in the configuration.`,
		},
		"rate": {
			func(f *facts) {
				f.refusal = domain.New(domain.ErrLimited, "rate_exceeded", "The tenant publishes too fast.")
			}, domain.CauseRateExceeded,
			"Publishing is refused: The tenant publishes too fast.", "Publish more slowly, and wait for Retry-After; publish_rate in the configuration is the limit.",
		},
		"policy": {func(f *facts) {
			f.policies = []domain.ShortenedQueue{{Queue: "tenant_x_queue", Setting: "message-ttl", Value: "60000", Policy: "short"}}
		}, domain.CauseQueuePolicy, "The policy short of the broker sets message-ttl to 60000 for the queue tenant_x_queue: messages there may go away before they are stored or looked at.", `Take it back, or have its pattern leave out tenant_*: rabbitmqctl clear_policy "short", or clear_operator_policy.`},
		"backlog": {
			func(f *facts) { f.queue.Ready, f.consumer.Held, f.consumer.Busy = 12_000, 400, 3 }, domain.CauseBacklog,
			"12,400 messages wait to be stored, at 212 a second: the last one in about 58 s.", "All 3 workers are busy; more may help: lanekeeper tenants resize 0197a3a2-7d2c-7c3e-8f7e-0242ac120002 6",
		},
		"held": {func(f *facts) {
			withEndpoint(f, func(e *domain.EndpointFacts) { e.Endpoint.Status = domain.EndpointHeld })
			f.known.Held = map[uuid.UUID]domain.Deed{hookID: {At: ago, By: domain.CauseActor{Actor: domain.Actor{Kind: domain.ActorCommand}}}}
		}, domain.CauseEndpointHeld, hook + "was held by a command of lanekeeper at 10:00:05 UTC (12 minutes ago): 12 messages wait for it, and nothing is given up.", "lanekeeper endpoints resume -t " + tenantID.String() + " " + hookID.String()},
		"disabled": {func(f *facts) {
			withEndpoint(f, func(e *domain.EndpointFacts) {
				e.Endpoint.Status, e.Endpoint.StatusReason = domain.EndpointDisabled, "the endpoint answered 410 Gone"
			})
		}, domain.CauseEndpointDisabled, hook + "is disabled" + sinceThen + " (the endpoint answered 410 Gone): 12 messages wait for it, and nothing is given up.", "Mend the endpoint, then lanekeeper endpoints resume -t " + tenantID.String() + " " + hookID.String() + "; it goes on where it stopped."},
		"breaker": {func(f *facts) {
			withEndpoint(f, func(e *domain.EndpointFacts) {
				failing(e)
				e.Progress.Health.BreakerOpenedAt, e.LastError = ago, "connection refused"
			})
		}, domain.CauseBreakerOpen, hook + "fails: its breaker is open" + sinceThen + ", the last attempt with connection refused; 12 messages wait, one is tried every 30 s, and nothing is given up.", "Mend the endpoint; lanekeeper endpoints test -t " + tenantID.String() + " " + hookID.String() + " says whether it answers. The breaker closes with the next success."},
		"order": {
			func(f *facts) {
				withEndpoint(f, func(e *domain.EndpointFacts) { failing(e); e.Endpoint.Ordering = domain.OrderingFIFO })
			}, domain.CauseOrderBlocked, "Message 29 (" + firstID.String() + ") blocks the endpoint hooks.example.com/orders: it failed 3 times (last: status 503) and is tried again at 10:16:05 UTC, in 4 minutes; 11 messages wait behind it.",
			"Mend the endpoint, or give that message up: lanekeeper endpoints skip -t " + tenantID.String() + " " + hookID.String(),
		},
		"key": {
			func(f *facts) {
				withEndpoint(f, func(e *domain.EndpointFacts) {
					failing(e)
					e.Endpoint.Ordering, e.Behind, e.Progress.Health.ReadingStopped = domain.OrderingKey, 9, true
				})
			}, domain.CauseKeyBlocked, "Message 29 (" + firstID.String() + `) of the ordering key "k" failed at the endpoint hooks.example.com/orders 3 times (last: status 503) and is tried again at 10:16:05 UTC, in 4 minutes; 9 messages wait behind it and others of their keys. There are so many that nothing new is read for it.`,
			"Mend the endpoint; other keys go on. The message is given up after its last attempt.",
		},
		"nobody delivers": {
			func(f *facts) { withEndpoint(f, func(*domain.EndpointFacts) {}); f.known.Deliverer = "" }, domain.CauseNobodyDelivers,
			"No replica delivers to the endpoint hooks.example.com/orders at the moment: 12 messages wait for it.", "One takes it within 15 seconds. If not, look at the logs of the replicas.",
		},
		"endpoint's rate": {
			func(f *facts) { withEndpoint(f, func(e *domain.EndpointFacts) { e.Endpoint.Rate = 2 }) }, domain.CauseEndpointRate,
			hook + "gets at most 2 messages a second, as it is set: 12 messages wait, the last one arrives in about 6 s.", `If it can take more: PATCH /tenants/` + tenantID.String() + `/endpoints/` + hookID.String() + ` {"rate":4}`,
		},
		"retrying": {
			func(f *facts) {
				withEndpoint(f, func(e *domain.EndpointFacts) { failing(e); e.Progress.Settled, e.Progress.Open = 40, 2 })
			}, domain.CauseEndpointRetrying, "2 messages wait for another attempt at the endpoint hooks.example.com/orders; the oldest is message 29, which failed 3 times (last: status 503), attempt 4 of 8 is at 10:16:05 UTC, in 4 minutes.",
			"Mend the endpoint; lanekeeper endpoints attempts -t " + tenantID.String() + " " + hookID.String() + " shows what it answered.",
		},
		"behind": {func(f *facts) {
			withEndpoint(f, func(e *domain.EndpointFacts) { e.Delivered, e.DeliveredFor = 30, 15*time.Second })
		}, domain.CauseEndpointBehind, hook + "is 12 messages behind and takes 2 a second: the last one arrives in about 6 s.", "A faster endpoint, or a higher concurrency of it, helps: lanekeeper endpoints update -t " + tenantID.String() + " " + hookID.String() + " --concurrency N"},
		"endpoints unknown": {
			func(f *facts) { f.knownErr = errors.New("busy") }, domain.CauseEndpointsUnchecked,
			"How far deliveries to endpoints are could not be read in time: the database is busy, or something is locked.", "Try again in a few seconds.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := quiet()
			c.change(f)
			e := f.explain()
			require.NotEmpty(t, e.Causes)
			cause := e.Causes[0]
			require.Equal(t, c.kind, cause.Kind)
			require.Equal(t, c.sentence, cause.Sentence)
			require.Equal(t, c.help, cause.Help)
			require.Equal(t, cause.Help, e.Help)
			require.Equal(t, cause.Stops, !e.Flows)
			if cause.Stops {
				require.Equal(t, cause.Sentence, e.Sentence)
			}

			f.caller = domain.Principal{UserID: hookID, Role: domain.RoleViewer, TenantID: tenantID}
			for _, cause := range f.explain().Causes {
				said := cause.Sentence + cause.Help + cause.Error + cause.Replica + cause.Policy
				for _, secret := range []string{"4711", "psql", "host-1", "an error", "ada@", "shop", "tenant_x_queue", "secret"} {
					require.NotContains(t, said, secret)
				}
				require.Empty(t, cause.Sessions)
				require.Nil(t, cause.By)
			}
		})
	}
}

// What flows says how fast, and what waits; the first cause that stops nothing is added.
func TestFlowsSentence(t *testing.T) {
	t.Parallel()
	f := quiet()
	f.consumer.Busy = 1
	e := f.explain()
	require.True(t, e.Flows)
	require.Equal(t, "Flows: 212 messages a second, 0 waiting, 1 of 3 workers busy, last stored 40 ms ago.", e.Sentence)
	require.Zero(t, e.Expected)
	f.queue.Ready = 2124
	e = f.explain()
	require.Equal(t, "Flows: 212 messages a second, 2,124 waiting, all stored in about 10 s, 1 of 3 workers busy, last stored 40 ms ago.", e.Sentence)
	require.EqualValues(t, 2124, e.Backlog)
	require.InDelta(t, 10, e.Expected.Seconds(), 0.01)
	f = quiet()
	f.progressErr = errors.New("busy")
	f.progress = domain.StoreProgress{}
	e = f.explain()
	require.Equal(t, "Flows: 0 waiting, 0 of 3 workers busy.", e.Sentence)
	require.Negative(t, e.Rate)
}

// A message that is nowhere, and one of which it is not known.
func TestMessageThatIsNotStored(t *testing.T) {
	t.Parallel()
	f := quiet()
	e := message{f.sayOf()}.explainMessage(firstID)
	require.Equal(t, domain.MessageUnknown, e.Message.State)
	require.Equal(t, domain.CauseNotFound, e.Causes[0].Kind)
	require.Equal(t, "There is no such message: it is neither stored nor a dead letter, and nothing waits to be stored.", e.Sentence)
	require.Contains(t, e.Help, "It was never accepted for this tenant, or it is not kept any longer. ")

	f.queue.Ready = 1000
	e = message{f.sayOf()}.explainMessage(firstID)
	require.Equal(t, domain.MessageWaiting, e.Message.State)
	require.EqualValues(t, 1000, e.Message.Position)
	require.Equal(t, "Not stored yet. If it was accepted, it is one of the 1,000 messages that wait, and at most 999 are before it. At 212 a second it is stored in at most about 4.7 s.", e.Sentence)

	f = quiet()
	f.databaseErr, f.wantedErr, f.knownErr, f.progressErr = domain.ErrUnavailable, domain.ErrUnavailable, domain.ErrUnavailable, domain.ErrUnavailable
	e = message{f.sayOf()}.explainMessage(firstID)
	require.Equal(t, domain.MessageUnknown, e.Message.State)
	require.Equal(t, "Whether the message is stored cannot be found out, because the database does not answer; what was accepted is not lost.", e.Sentence)
	require.Equal(t, domain.CauseDatabaseAway, e.Causes[0].Kind)
}

func TestWords(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		-time.Second: "0 ms", 40 * time.Millisecond: "40 ms", 1250 * time.Millisecond: "1.3 s", 58 * time.Second: "58 s",
		12 * time.Minute: "12 minutes", 200 * time.Minute: "3 h 20 min", 72 * time.Hour: "3 days",
	} {
		require.Equal(t, want, span(d))
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1240: "1,240", 1_234_567: "1,234,567", -1240: "-1,240"} {
		require.Equal(t, want, digits.Grouped(n))
	}
	require.Equal(t, "2026-11-19 10:12:05 UTC", quiet().say().clock(now.Add(-48*time.Hour)))
}
