package repository

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// oneEndpoint returns an endpoint whose tenant the deliverer has claimed.
func (d *database) oneEndpoint(t testing.TB) domain.Settlement {
	t.Helper()
	d.makeDays(t)
	s := d.newEndpoints(t, 1, 1)
	d.claimAll(t, s)
	return s[0]
}

// settled reads a cursor.
func (d *database) settled(t testing.TB, s domain.Settlement) int64 {
	t.Helper()
	return ask[int64](t, d, `SELECT settled_seq FROM endpoint_cursors WHERE tenant_id = $1 AND endpoint_id = $2`, s.TenantID, s.EndpointID)
}

// rowsOf reads which rows an endpoint has: "seq" for one that is due now, "seq+" for
// one that is due later and "seq-" for one that waits.
func (d *database) rowsOf(t testing.TB, s domain.Settlement) string {
	t.Helper()
	return ask[string](t, d, `
		SELECT coalesce(string_agg(seq || CASE WHEN next_at IS NULL THEN '-' WHEN next_at > now() THEN '+' ELSE '' END, ' ' ORDER BY seq), '')
		FROM deliveries WHERE tenant_id = $1 AND endpoint_id = $2`, s.TenantID, s.EndpointID)
}

func givenUp(t testing.TB, seq int64) domain.GivenUp {
	t.Helper()
	return domain.GivenUp{Seq: seq, Round: 2, Letter: domain.DeadLetter{
		ID: newID(t), MessageID: newID(t).String(), Type: "order.done", Body: []byte(`{"a": 1}`), Headers: map[string]any{"h": "v"},
		Reason: "delivery_failed", Error: "500", Attempts: 8,
	}}
}

func TestSettleCarriesEverythingOut(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.oneEndpoint(t)
	replayID := newID(t)
	_, err := d.connect(t).Exec(t.Context(), `
		INSERT INTO replays (id, tenant_id, endpoint_id, from_seq, to_seq, only_failed, last_letter, types, rate, state, cursor_seq, total)
		VALUES ($1, $2, $3, 1, 100, false, 0, '{}', 100, 'running', 0, 100)`, replayID, s.TenantID, s.EndpointID)
	require.NoError(t, err)

	failed := attempt(t, 7)
	failed.Number, failed.Probe, failed.Status, failed.Error, failed.Answer, failed.NextIn = 3, true, 500, "500 Internal Server Error", []byte("a\x00\xff"), time.Minute
	failed.ReplayID, failed.Ago, failed.Duration = replayID, 90*time.Second, 1500*time.Millisecond
	fine := attempt(t, 8)
	fine.Answer = []byte{}
	given := givenUp(t, 6)
	messageID := newID(t)
	s.Settled, s.Attempts, s.GivenUp = 9, []domain.Attempt{failed, fine}, []domain.GivenUp{given}
	s.Open = []domain.OpenDelivery{
		{Seq: 7, MessageID: messageID, OrderingKey: "k", Attempts: 3, Round: 1, ReplayID: replayID, NextIn: time.Hour, LastStatus: 500, LastError: "bad\x00"},
		{Seq: 9, MessageID: newID(t), OrderingKey: "k", Waits: true},
	}
	opened := time.Now().Add(-time.Minute).Truncate(time.Microsecond)
	s.Health = &domain.EndpointHealth{BreakerOpenedAt: opened, FailingSince: time.Now().Add(time.Hour), ReadingStopped: true}
	s.Replay = &domain.ReplayProgress{ID: replayID, Cursor: 50, Done: 40}
	require.Equal(t, domain.SettleDone, d.settle(t, s))

	require.EqualValues(t, 9, d.settled(t, s))
	require.Equal(t, "7+ 9-", d.rowsOf(t, s))
	require.True(t, ask[bool](t, d, `
		SELECT message_id = $1 AND ordering_key = 'k' AND attempts = 3 AND round = 1 AND replay_id = $2 AND last_status = 500 AND last_error = 'bad' || U&'\FFFD'
		   AND next_at BETWEEN now() + interval '59 min' AND now() + interval '1 h'
		FROM deliveries WHERE seq = 7`, messageID, replayID))
	require.True(t, ask[bool](t, d, `
		SELECT breaker_opened_at = $1 AND failing_since BETWEEN now() - interval '1 min' AND now() AND reading_stopped FROM endpoint_cursors`, opened))
	require.True(t, ask[bool](t, d, `
		SELECT tenant_id = $1 AND endpoint_id = $2 AND message_id = $3 AND seq = 7 AND replay_id = $4 AND number = 3 AND probe AND duration_ms = 1500
		   AND status = 500 AND error = '500 Internal Server Error' AND answer = '\x6100ff'
		   AND at BETWEEN now() - interval '2 min' AND now() - interval '90 s' AND next_at - at BETWEEN interval '150 s' AND interval '151 s'
		FROM attempts WHERE id = $5`, s.TenantID, s.EndpointID, failed.MessageID, replayID, failed.ID))
	require.True(t, ask[bool](t, d, `
		SELECT answer IS NULL AND next_at IS NULL AND replay_id IS NULL AND NOT probe AND error = '' FROM attempts WHERE id = $1`, fine.ID))
	require.True(t, ask[bool](t, d, `
		SELECT tenant_id = $1 AND endpoint_id = $2 AND seq = 6 AND round = 2 AND message_id = $3 AND body = '{"a": 1}' AND headers = '{"h": "v"}'
		   AND reason = 'delivery_failed' AND error = '500' AND attempts = 8 AND bytes = 28 AND type = 'order.done'
		FROM dead_letters WHERE letter_id = $4`, s.TenantID, s.EndpointID, given.Letter.MessageID, given.Letter.ID))
	require.EqualValues(t, 1, ask[int64](t, d, `SELECT waiting FROM dead_letter_counts WHERE tenant_id = $1`, s.TenantID))
	require.True(t, ask[bool](t, d, `SELECT cursor_seq = 50 AND done = 40 AND state = 'running' AND ended_at IS NULL FROM replays`))

	// What is not named stays; and the same once more, as after a reply that was
	// lost, changes nothing.
	require.Equal(t, domain.SettleDone, d.settle(t, s))
	require.Equal(t, "7+ 9-", d.rowsOf(t, s))
	require.Equal(t, 1, ask[int](t, d, `SELECT count(*) FROM dead_letters`))
	require.EqualValues(t, 40, ask[int64](t, d, `SELECT done FROM replays`))
	quiet := domain.Settlement{TenantID: s.TenantID, EndpointID: s.EndpointID, Epoch: s.Epoch, Version: s.Version, Settled: 4}
	require.Equal(t, domain.SettleDone, d.settle(t, quiet))
	require.EqualValues(t, 9, d.settled(t, s), "a cursor never goes back")
	require.True(t, ask[bool](t, d, `SELECT breaker_opened_at = $1 AND reading_stopped FROM endpoint_cursors`, opened))

	quiet.Health = &domain.EndpointHealth{}
	quiet.Done, quiet.GivenUp = []int64{7}, []domain.GivenUp{givenUp(t, 9)}
	quiet.Replay = &domain.ReplayProgress{ID: replayID, Cursor: 100, Done: 50, Ended: true}
	require.Equal(t, domain.SettleDone, d.settle(t, quiet))
	require.Empty(t, d.rowsOf(t, s))
	require.True(t, ask[bool](t, d, `SELECT breaker_opened_at IS NULL AND failing_since IS NULL AND NOT reading_stopped FROM endpoint_cursors`))
	require.True(t, ask[bool](t, d, `SELECT cursor_seq = 100 AND done = 90 AND state = 'done' AND ended_at <= now() FROM replays`))
}

func TestSettleDisables(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.oneEndpoint(t)
	s.Disable = "410 Gone"
	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), listenSQL)
	require.NoError(t, err)
	require.Equal(t, domain.SettleDone, d.settle(t, s))
	require.True(t, ask[bool](t, d, `SELECT status = 'disabled' AND status_reason = '410 Gone' AND version = 1 FROM endpoints`))
	n, err := conn.WaitForNotification(t.Context())
	require.NoError(t, err)
	require.Equal(t, "tenant:"+s.TenantID.String(), n.Payload)

	_, err = conn.Exec(t.Context(), `UPDATE endpoints SET status = 'held', status_reason = ''`)
	require.NoError(t, err)
	require.Equal(t, domain.SettleDone, d.settle(t, s))
	require.Equal(t, "held", ask[string](t, d, `SELECT status FROM endpoints`), "what a caller holds stays held")
}

// A settlement that does not count leaves nothing but its attempts, and not even
// these where the endpoint is gone; those beside it count.
func TestSettleOutcomes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.makeDays(t)
	s := d.newEndpoints(t, 6, 1)
	d.claimAll(t, s)
	fine, stale, lost, another, gone, erased := &s[0], &s[1], &s[2], &s[3], &s[4], &s[5]
	conn := d.connect(t)
	run := func(sql string, args ...any) {
		_, err := conn.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	run(`INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, ordering_key) SELECT tenant_id, endpoint_id, seq, endpoint_id, 'k' FROM endpoint_cursors, generate_series(1, 2) AS seq`)
	run(`INSERT INTO replays (id, tenant_id, endpoint_id, from_seq, to_seq, only_failed, last_letter, types, rate, state, cursor_seq, total)
		SELECT endpoint_id, tenant_id, endpoint_id, 1, 100, false, 0, '{}', 100, 'running', 0, 100 FROM endpoint_cursors`)
	run(`UPDATE endpoint_cursors SET version = 2 WHERE tenant_id = $1`, stale.TenantID)
	run(`UPDATE delivery_claims SET epoch = epoch + 1 WHERE tenant_id = $1`, lost.TenantID)
	run(`UPDATE delivery_claims SET owner = 'b' WHERE tenant_id = $1`, another.TenantID)
	run(`DELETE FROM endpoint_cursors WHERE tenant_id = $1`, gone.TenantID)
	run(`DELETE FROM endpoint_cursors WHERE tenant_id = $1`, erased.TenantID)
	run(`DELETE FROM delivery_claims WHERE tenant_id = $1`, erased.TenantID)
	for i := range s {
		s[i].Settled, s[i].Attempts = 9, []domain.Attempt{attempt(t, 1)}
		s[i].Done, s[i].Open, s[i].GivenUp = []int64{1}, []domain.OpenDelivery{{Seq: 3, MessageID: newID(t)}, {Seq: 2, Known: true, NextIn: time.Hour}}, []domain.GivenUp{givenUp(t, 4)}
		s[i].Keys, s[i].Health, s[i].Disable = []string{"k"}, &domain.EndpointHealth{ReadingStopped: true}, "410"
		s[i].Replay = &domain.ReplayProgress{ID: s[i].EndpointID, Cursor: 7, Done: 3}
	}
	outcomes, err := d.store.Settle(t.Context(), deliverer, s)
	require.NoError(t, err)
	require.Equal(t, []domain.SettleOutcome{
		domain.SettleDone, domain.SettleStale, domain.SettleLost, domain.SettleLost, domain.SettleGone, domain.SettleGone,
	}, outcomes)
	for i := range s {
		id := s[i].EndpointID
		did := i == 0
		require.Equal(t, did, ask[bool](t, d, `SELECT EXISTS (SELECT FROM endpoint_cursors WHERE endpoint_id = $1 AND (settled_seq > 0 OR reading_stopped))`, id), i)
		require.Equal(t, did, ask[bool](t, d, `SELECT EXISTS (SELECT FROM dead_letters WHERE endpoint_id = $1)`, id), i)
		require.Equal(t, did, ask[bool](t, d, `SELECT EXISTS (SELECT FROM replays WHERE endpoint_id = $1 AND done > 0)`, id), i)
		require.Equal(t, did, ask[bool](t, d, `SELECT EXISTS (SELECT FROM endpoints WHERE id = $1 AND status <> 'active')`, id), i)
		rows := "1- 2-"
		if did {
			rows = "2+ 3"
		}
		require.Equal(t, rows, d.rowsOf(t, s[i]), i)
		require.Equal(t, i < 4, ask[bool](t, d, `SELECT EXISTS (SELECT FROM attempts WHERE endpoint_id = $1)`, id), i)
	}
	require.EqualValues(t, 9, d.settled(t, *fine))
}

// A row that is known is changed only where it still is. One that is new may be
// there: an attempt counts, and what was not attempted leaves it as it is.
func TestSettleMeetsRowsOfOthers(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.oneEndpoint(t)
	_, err := d.connect(t).Exec(t.Context(), `
		INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, attempts, next_at)
		SELECT $1, $2, seq, $2, 5, now() FROM unnest('{2,3,4,5}'::bigint[]) AS seq`, s.TenantID, s.EndpointID)
	require.NoError(t, err)
	s.Open = []domain.OpenDelivery{
		{Seq: 1, MessageID: newID(t), Known: true, Attempts: 2, NextIn: time.Hour},
		{Seq: 2, MessageID: newID(t), Known: true, Attempts: 2, NextIn: time.Hour},
		{Seq: 3, MessageID: newID(t), Attempts: 1, NextIn: time.Hour},
		{Seq: 4, MessageID: newID(t), NextIn: time.Hour},
		{Seq: 5, MessageID: newID(t), Attempts: 1, ReplayID: newID(t), NextIn: time.Hour},
	}
	require.Equal(t, domain.SettleDone, d.settle(t, s))
	require.Equal(t, "2+ 3+ 4 5", d.rowsOf(t, s))
	require.Equal(t, []int32{2, 1, 5, 5}, ask[[]int32](t, d, `SELECT array_agg(attempts ORDER BY seq) FROM deliveries`))
}

// A settlement may say several things of a row, one after the other; what was said
// last counts, and that it is done counts more.
func TestSettleTakesTheLastWord(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.oneEndpoint(t)
	s.Open = []domain.OpenDelivery{{Seq: 1, MessageID: newID(t)}, {Seq: 2, MessageID: newID(t), Attempts: 1}}
	require.Equal(t, domain.SettleDone, d.settle(t, s))
	s.Open = []domain.OpenDelivery{
		{Seq: 1, MessageID: newID(t), Known: true, Attempts: 1},
		{Seq: 1, MessageID: newID(t), Known: true, Attempts: 2, NextIn: time.Hour},
		{Seq: 2, MessageID: newID(t), Known: true, Attempts: 2},
		{Seq: 3, MessageID: newID(t)},
		{Seq: 3, MessageID: newID(t), Known: true, Attempts: 4, NextIn: time.Hour},
		{Seq: 4, MessageID: newID(t)},
		{Seq: 4, MessageID: newID(t), Attempts: 5},
		{Seq: 5, MessageID: newID(t)},
		{Seq: 6, MessageID: newID(t)},
	}
	s.Done, s.GivenUp = []int64{2, 5, 5}, []domain.GivenUp{givenUp(t, 6)}
	require.Equal(t, domain.SettleDone, d.settle(t, s))
	require.Equal(t, "1+ 3+ 4", d.rowsOf(t, s))
	require.Equal(t, []int32{2, 4, 5}, ask[[]int32](t, d, `SELECT array_agg(attempts ORDER BY seq) FROM deliveries`))
}

// Behind a failing message those of its key wait, and become due one after the
// other.
func TestKeysBecomeDueOneAfterTheOther(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.oneEndpoint(t)
	row := func(seq int64, key string) domain.OpenDelivery {
		return domain.OpenDelivery{Seq: seq, MessageID: newID(t), OrderingKey: key, Waits: true}
	}
	first := row(1, "a")
	first.Waits, first.NextIn = false, time.Hour
	s.Settled, s.Open = 6, []domain.OpenDelivery{first, row(2, "a"), row(3, "a"), row(4, "b"), row(5, "")}
	s.Keys = []string{"a", "c"}
	require.Equal(t, domain.SettleDone, d.settle(t, s))
	require.Equal(t, "1+ 2- 3- 4- 5-", d.rowsOf(t, s), "the first is due later, and stays so")
	next := domain.Settlement{TenantID: s.TenantID, EndpointID: s.EndpointID, Epoch: s.Epoch, Version: s.Version}
	next.Done, next.Keys = []int64{1}, []string{"a"}
	require.Equal(t, domain.SettleDone, d.settle(t, next))
	require.Equal(t, "2 3- 4- 5-", d.rowsOf(t, s))
	require.Equal(t, domain.SettleDone, d.settle(t, next), "once more, as after a reply that was lost")
	require.Equal(t, "2 3- 4- 5-", d.rowsOf(t, s))
	next.Done, next.GivenUp = nil, []domain.GivenUp{givenUp(t, 2)}
	next.Open, next.Keys = []domain.OpenDelivery{row(6, "a")}, []string{"a", "b"}
	require.Equal(t, domain.SettleDone, d.settle(t, next))
	require.Equal(t, "3 4 5- 6-", d.rowsOf(t, s))
}

func TestSettleChecksWhatItIsGiven(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.oneEndpoint(t)
	outcomes, err := d.store.Settle(t.Context(), deliverer, nil)
	require.NoError(t, err)
	require.Empty(t, outcomes)
	_, err = d.store.Settle(t.Context(), deliverer, []domain.Settlement{s, s})
	require.ErrorIs(t, err, domain.ErrRejected)
	large := func() domain.GivenUp {
		g := givenUp(t, 1)
		g.Letter.Body = make([]byte, maxAppendBytes/2+1)
		return g
	}
	other := s
	other.EndpointID = uuid.New()
	s.GivenUp, other.GivenUp = []domain.GivenUp{large()}, []domain.GivenUp{large()}
	_, err = d.store.Settle(t.Context(), deliverer, []domain.Settlement{s, other})
	require.ErrorIs(t, err, domain.ErrRejected)

	// One bad one spoils those beside it, and nothing of them takes effect.
	bad := d.newEndpoints(t, 1, 1)
	d.claimAll(t, bad)
	_, err = d.connect(t).Exec(t.Context(), `ALTER TABLE deliveries ADD CHECK (attempts < 100)`)
	require.NoError(t, err)
	bad[0].Settled, bad[0].Open = 1, []domain.OpenDelivery{{Seq: 1, MessageID: newID(t), Attempts: 100}}
	s.GivenUp, s.Settled, s.Attempts = nil, 1, []domain.Attempt{attempt(t, 1)}
	_, err = d.store.Settle(t.Context(), deliverer, []domain.Settlement{s, bad[0]})
	require.ErrorIs(t, err, domain.ErrRejected)
	require.Zero(t, d.settled(t, s))
	require.Zero(t, ask[int](t, d, `SELECT count(*) FROM attempts`))
	require.Equal(t, domain.SettleDone, d.settle(t, s))
}

// An endpoint that somebody keeps locked is contention, and no outage.
func TestSettleMeetsALock(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.oneEndpoint(t)
	tx, err := d.connect(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM endpoint_cursors FOR UPDATE`)
	require.NoError(t, err)
	_, err = d.store.Settle(t.Context(), deliverer, []domain.Settlement{s})
	require.ErrorIs(t, err, domain.ErrContended)
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, domain.SettleDone, d.settle(t, s), "the connection is as good as before")
}

// Two replicas that settle endpoints in any order, with rows, letters and keys,
// beside those who claim, change and give up, never deadlock.
func TestSettlementsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.makeDays(t)
	s := d.newEndpoints(t, 4, 4)
	d.claimAll(t, s)
	url := d.withParams(t, "lock_timeout", "15s", "deadlock_timeout", "20ms")
	stores := []*Store{d.open(t, Options{URL: url}), d.open(t, Options{URL: url})}
	const goroutines, rounds = 20, 15
	var working sync.WaitGroup
	errs := make(chan error, goroutines)
	ctx := context.WithoutCancel(t.Context())
	for g := range goroutines {
		random := rand.New(rand.NewPCG(1, uint64(g)))
		working.Go(func() {
			for round := range rounds {
				some := make([]domain.Settlement, 0, len(s))
				for _, i := range random.Perm(len(s))[:1+random.IntN(len(s))] {
					one := s[i]
					seq := int64(g*rounds + round)
					one.Settled, one.Attempts = seq, []domain.Attempt{attempt(t, seq)}
					one.Open = []domain.OpenDelivery{{Seq: seq, MessageID: uuid.New(), OrderingKey: "k", Waits: true}, {Seq: seq + 1, MessageID: uuid.New(), Known: true}}
					one.Done, one.GivenUp, one.Keys = []int64{seq - 1}, []domain.GivenUp{givenUp(t, seq)}, []string{"k"}
					some = append(some, one)
				}
				if _, err := stores[g%2].Settle(ctx, deliverer, some); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	for range 2 {
		working.Go(func() {
			for range rounds {
				tx, err := stores[0].deliveries.Begin(ctx)
				if err == nil {
					_, err = tx.Exec(ctx, `SELECT FROM tenants WHERE id = $1 FOR SHARE`, s[0].TenantID)
					err = errors.Join(err, tx.Rollback(ctx))
				}
				ids := []uuid.UUID{s[12].TenantID, s[0].TenantID, s[4].TenantID}
				if _, claimErr := stores[1].ClaimDeliveries(ctx, "b", ids, deliveryTTL); claimErr != nil || err != nil {
					errs <- errors.Join(err, claimErr)
					return
				}
			}
		})
	}
	working.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	require.Zero(t, ask[int](t, d, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`))
}

func TestUnavailableDatabaseIsSaidByAll(t *testing.T) {
	t.Parallel()
	s, err := Open(t.Context(), Options{URL: "postgres://app:hunter2@127.0.0.1:1/none"})
	require.NoError(t, err)
	defer s.Close()
	id := uuid.New()
	for name, call := range map[string]func() error{
		"beat":    func() error { _, err := s.BeatDeliverer(t.Context(), "a", false, time.Second); return err },
		"remove":  func() error { return s.RemoveDeliverer(t.Context(), "a") },
		"tenants": func() error { _, err := s.DeliveryTenants(t.Context()); return err },
		"claim":   func() error { _, err := s.ClaimDeliveries(t.Context(), "a", []uuid.UUID{id}, time.Second); return err },
		"release": func() error {
			return s.ReleaseDeliveries(t.Context(), "a", []domain.DeliveryClaim{{TenantID: id}})
		},
		"start": func() error { _, err := s.StartDelivery(t.Context(), id, id); return err },
		"read":  func() error { _, err := s.ReadDeliveries(t.Context(), id, 0, 1, 1); return err },
		"due": func() error {
			_, err := s.DueDeliveries(t.Context(), domain.DueQuery{TenantID: id, Limit: 1})
			return err
		},
		"settle": func() error { _, err := s.Settle(t.Context(), "a", []domain.Settlement{{TenantID: id}}); return err },
	} {
		err := call()
		require.ErrorIs(t, err, domain.ErrUnavailable, name)
		require.NotContains(t, err.Error(), "hunter2", name)
	}
}
