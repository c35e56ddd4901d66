package fleet_test

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/repository"
	"lanekeeper/service/fleet"
)

// patience is how long a test waits for what should happen soon.
const patience = 30 * time.Second

// process is a replica with a store of its own, wired as the service is.
type process struct {
	*fleet.Fleet
	name    string
	changes atomic.Int32
	kill    func()
}

func newProcess(t *testing.T, url, name string, consumers func() []domain.ConsumerStatus) *process {
	t.Helper()
	store, err := repository.Open(t.Context(), repository.Options{URL: url})
	require.NoError(t, err)
	p := &process{name: name}
	p.Fleet = fleet.New(fleet.Options{
		Replica: domain.Replica{Name: name, Address: name + ":8080"}, Replicas: store, Reports: store, Consumers: consumers,
		Changed: func() { p.changes.Add(1) }, TrackDepths: true, Log: slog.New(slog.NewTextHandler(t.Output(), nil)).With(slog.String("self", name)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { p.Run(ctx) })
	wg.Go(func() {
		store.WatchChanges(ctx, func(c domain.Change) {
			if c.Kind == domain.ReplicasChanged || c.Kind == domain.AnythingChanged {
				p.Refresh()
			}
		})
	})
	p.kill = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		store.Close()
	})
	t.Cleanup(p.kill)
	return p
}

// owners returns who owns which tenant, when all agree, else nil.
func owners(ids []uuid.UUID, processes ...*process) []string {
	all := make([]string, len(ids))
	for i, id := range ids {
		all[i] = processes[0].Owner(id)
		if !slices.ContainsFunc(processes, func(p *process) bool { return p.name == all[i] && p.Owns(id) }) {
			return nil
		}
		for _, p := range processes[1:] {
			if p.Owner(id) != all[i] {
				return nil
			}
		}
	}
	return all
}

// agree waits until the processes agree on who owns which tenant, and each
// owns some.
func agree(t *testing.T, ids []uuid.UUID, processes ...*process) []string {
	t.Helper()
	var all []string
	require.Eventually(t, func() bool {
		if all = owners(ids, processes...); all == nil {
			return false
		}
		return !slices.ContainsFunc(processes, func(p *process) bool { return !slices.Contains(all, p.name) })
	}, patience, 5*time.Millisecond)
	return all
}

func newTenants(n int) []uuid.UUID {
	ids := make([]uuid.UUID, n)
	for i := range ids {
		ids[i] = uuid.New()
	}
	return ids
}

// Postgres is killed, or frozen, under three replicas: no tenant moves for a
// moment. Then a replica dies: its tenants move within 15 s, and no others.
func TestThreeReplicasAndTheirDatabase(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]struct{ begin, end func(*devtest.Server) }{
		"killed": {(*devtest.Server).Kill, (*devtest.Server).Start},
		"frozen": {(*devtest.Server).Pause, (*devtest.Server).Resume},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := devtest.PrivatePostgres(t)
			require.NoError(t, repository.Migrate(t.Context(), server.URL()))
			ids := newTenants(300)
			var consumers []domain.ConsumerStatus
			for _, id := range ids[:5] {
				consumers = append(consumers, domain.ConsumerStatus{TenantID: id, State: "running", Workers: 3, Depth: 42})
			}
			all := []*process{
				newProcess(t, server.URL(), "a", func() []domain.ConsumerStatus { return consumers }),
				newProcess(t, server.URL(), "b", noConsumers), newProcess(t, server.URL(), "c", noConsumers),
			}
			before := agree(t, ids, all...)
			reported := func() bool {
				reported, err := all[1].Reported(t.Context(), ids)
				depth, known := all[2].Depth(ids[0])
				return err == nil && len(reported) == len(consumers) && reported[ids[0]].Replica == "a" && known && depth == 42
			}
			require.Eventually(t, reported, patience, 50*time.Millisecond)
			changes := make([]int32, len(all))
			for i, p := range all {
				changes[i] = p.changes.Load()
			}
			// requireStill lets some time pass in which nothing may move.
			requireStill := func(d time.Duration) {
				t.Helper()
				require.Never(t, func() bool { return !slices.Equal(before, owners(ids, all...)) }, d, 20*time.Millisecond)
				for i, p := range all {
					require.Equal(t, changes[i], p.changes.Load())
				}
			}
			fault.begin(server)
			requireStill(11 * time.Second) // by now every row is old
			fault.end(server)
			requireStill(11 * time.Second) // by now the freeze has ended
			require.Eventually(t, reported, patience, 50*time.Millisecond, "a crash loses the reports")

			begin := time.Now()
			all[0].kill()
			after := agree(t, ids, all[1:]...)
			require.Less(t, time.Since(begin), 15*time.Second)
			require.Greater(t, time.Since(begin), 5*time.Second, "it might have been slow only")
			for i, owner := range before {
				if owner != "a" {
					require.Equal(t, owner, after[i])
				}
			}
		})
	}
}

func noConsumers() []domain.ConsumerStatus { return nil }

// Coming and going is noticed at once, by notification.
func TestReplicasComeAndGo(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	require.NoError(t, repository.Migrate(t.Context(), url))
	ids := newTenants(100)
	var all []*process
	for i := range 5 {
		all = append(all, newProcess(t, url, "replica-"+strconv.Itoa(i), noConsumers))
	}
	agree(t, ids, all...)
	for len(all) > 1 {
		leaver := all[0]
		all = all[1:]
		require.NoError(t, leaver.Deregister(t.Context()))
		require.NoError(t, leaver.Deregister(t.Context()))
		agree(t, ids, all...)
		require.False(t, slices.ContainsFunc(ids, leaver.Owns))
	}
	require.Len(t, slices.Compact(owners(ids, all...)), 1)
}
