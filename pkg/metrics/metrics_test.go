package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/metrics"
)

func observeEverything(m *metrics.Metrics, tenant uuid.UUID) {
	m.AddPublished("accepted", 3)
	m.ObservePublish(0.004)
	m.ObserveStoreBatch(128, 0.02)
	m.ObserveEndToEnd(0.03)
	m.AddMessages(tenant, "stored", 2)
	m.ObserveRequest("/messages", http.MethodPost, 202, 0.002)
}

func TestNamesFollowTheConventions(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{TenantLabels: true, MaxTenants: 10})
	tenant := uuid.New()
	observeEverything(m, tenant)
	m.RegisterConsumers(func() []metrics.ConsumerStats {
		return []metrics.ConsumerStats{{TenantID: tenant, State: "running", Workers: 3, Busy: 1, Queue: "q", QueueDepth: 7, DeadLetters: 2}}
	})
	problems, err := testutil.GatherAndLint(m.Gatherer())
	require.NoError(t, err)
	require.Empty(t, problems)

	id := tenant.String()
	require.NoError(t, testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(`
# HELP lanekeeper_consumers Consumers in this process, by state.
# TYPE lanekeeper_consumers gauge
lanekeeper_consumers{state="running"} 1
# HELP lanekeeper_dead_letters Recorded dead letters of the tenant that were not replayed.
# TYPE lanekeeper_dead_letters gauge
lanekeeper_dead_letters{tenant_id="`+id+`"} 2
# HELP lanekeeper_messages_total Messages that consumers are done with, by what became of them.
# TYPE lanekeeper_messages_total counter
lanekeeper_messages_total{outcome="stored",tenant_id="`+id+`"} 2
# HELP lanekeeper_publish_total Messages that callers wanted published, by the answer they got.
# TYPE lanekeeper_publish_total counter
lanekeeper_publish_total{outcome="accepted"} 3
# HELP lanekeeper_queue_depth Messages that wait in the tenant's queue or are held by its consumer.
# TYPE lanekeeper_queue_depth gauge
lanekeeper_queue_depth{queue="q",tenant_id="`+id+`"} 7
# HELP lanekeeper_workers Workers of the tenant's consumer.
# TYPE lanekeeper_workers gauge
lanekeeper_workers{tenant_id="`+id+`"} 3
# HELP lanekeeper_workers_busy Workers of the tenant's consumer that have a message in hand.
# TYPE lanekeeper_workers_busy gauge
lanekeeper_workers_busy{tenant_id="`+id+`"} 1
`), "lanekeeper_consumers", "lanekeeper_dead_letters", "lanekeeper_messages_total", "lanekeeper_publish_total",
		"lanekeeper_queue_depth", "lanekeeper_workers", "lanekeeper_workers_busy"))
}

func TestHandler(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{TenantLabels: true, MaxTenants: 10})
	observeEverything(m, uuid.New())
	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	require.Equal(t, http.StatusOK, recorder.Code)
	for _, name := range []string{
		"lanekeeper_messages_total", "lanekeeper_publish_total", "lanekeeper_publish_seconds_bucket", "lanekeeper_store_batch_rows_bucket",
		"lanekeeper_store_seconds_bucket", "lanekeeper_end_to_end_seconds_bucket",
		`lanekeeper_http_request_seconds_count{method="POST",route="/messages",status="202"} 1`, "go_goroutines", "process_open_fds",
	} {
		require.Contains(t, recorder.Body.String(), name)
	}
}

func TestTenantLabelsAreCappedAndVanish(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{TenantLabels: true, MaxTenants: 2})
	ids := []uuid.UUID{uuid.New(), uuid.New(), uuid.New(), uuid.New()}
	for _, id := range ids {
		m.AddMessages(id, "stored", 1)
		m.AddMessages(id, "duplicate", 1)
		m.AddDeliveriesExpired(id, 4)
	}
	m.RegisterConsumers(func() (stats []metrics.ConsumerStats) {
		for _, id := range ids[1:] {
			stats = append(stats, metrics.ConsumerStats{TenantID: id, State: "running", Workers: 3, Queue: id.String(), QueueDepth: 5})
		}
		return append(stats, metrics.ConsumerStats{TenantID: ids[3], QueueDepth: -1})
	})
	got := scrape(t, m)
	require.Contains(t, got, `lanekeeper_messages_total{outcome="stored",tenant_id="`+ids[0].String()+`"} 1`)
	require.Contains(t, got, `lanekeeper_messages_total{outcome="stored",tenant_id="_other"} 2`)
	require.Contains(t, got, `lanekeeper_deliveries_expired_total{tenant_id="`+ids[0].String()+`"} 4`)
	require.Contains(t, got, `lanekeeper_workers{tenant_id="_other"} 6`)
	require.Contains(t, got, `lanekeeper_queue_depth{queue="_other",tenant_id="_other"} 10`)
	require.NotContains(t, got, ids[2].String())

	m.Forget(ids[0])
	m.Forget(ids[0])
	m.Forget(ids[3])
	m.AddMessages(ids[0], "stored", 1)
	got = scrape(t, m)
	require.NotContains(t, got, ids[0].String(), "late messages do not bring it back")
	require.Contains(t, got, `lanekeeper_messages_total{outcome="stored",tenant_id="_other"} 3`)
	require.Contains(t, got, ids[2].String(), "there is room for another")
}

func TestWithoutTenantLabels(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{MaxTenants: 10})
	ids := []uuid.UUID{uuid.New(), uuid.New()}
	for _, id := range ids {
		m.AddMessages(id, "stored", 1)
	}
	m.RegisterConsumers(func() []metrics.ConsumerStats {
		return []metrics.ConsumerStats{{TenantID: ids[0], Workers: 1, Queue: "a", QueueDepth: 1}, {TenantID: ids[1], Workers: 2, Queue: "b", QueueDepth: 2}}
	})
	got := scrape(t, m)
	require.Contains(t, got, `lanekeeper_messages_total{outcome="stored",tenant_id=""} 2`)
	require.Contains(t, got, `lanekeeper_workers{tenant_id=""} 3`)
	require.Contains(t, got, `lanekeeper_queue_depth{queue="",tenant_id=""} 3`)
	m.Forget(ids[0])
	require.Contains(t, scrape(t, m), `lanekeeper_messages_total{outcome="stored",tenant_id=""} 2`)
}

// Callers cannot make up label values.
func TestRequestLabels(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{})
	m.ObserveRequest("", "BREW", 404, 0.001)
	require.Contains(t, scrape(t, m), `lanekeeper_http_request_seconds_count{method="other",route="none",status="404"} 1`)
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	m := metrics.New(metrics.Options{TenantLabels: true, MaxTenants: 5})
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				tenant := uuid.New()
				observeEverything(m, tenant)
				m.Forget(tenant)
			}
		})
	}
	group.Go(func() {
		for range 20 {
			scrape(t, m)
		}
	})
	group.Wait()
}

func TestObservingAllocatesNothing(t *testing.T) {
	m := metrics.New(metrics.Options{TenantLabels: true, MaxTenants: 10})
	tenant := uuid.New()
	observeEverything(m, tenant)
	require.Zero(t, testing.AllocsPerRun(100, func() { observeEverything(m, tenant) }))
}

func BenchmarkAddMessages(b *testing.B) {
	m := metrics.New(metrics.Options{TenantLabels: true, MaxTenants: 10})
	tenant := uuid.New()
	b.ReportAllocs()
	for b.Loop() {
		m.AddMessages(tenant, "stored", 1)
	}
}

func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	recorder := httptest.NewRecorder()
	m.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	return recorder.Body.String()
}
