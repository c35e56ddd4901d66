package repository

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// replayed returns an endpoint that has got as far as seq 30 of 40 messages, whose
// types are a.x, a.b.x and none in turn. Those up to 20 are a day older.
func (d *database) replayed(t *testing.T) domain.Settlement {
	t.Helper()
	s := d.newEndpoints(t, 1, 2)[0]
	messages := messagesFor(t, []uuid.UUID{s.TenantID}, 40)
	for i := range messages {
		messages[i].Type = []string{"a.x", "a.b.x", ""}[i%3]
	}
	_, err := d.store.AppendMessages(t.Context(), messages)
	require.NoError(t, err)
	d.exec(t, `UPDATE messages SET created_at = created_at - interval '1 day' WHERE tenant_id = $1 AND seq <= 20`, s.TenantID)
	d.exec(t, `UPDATE endpoint_cursors SET settled_seq = 30 WHERE endpoint_id = $1`, s.EndpointID)
	return s
}

// giveUp records letters of an endpoint.
func (d *database) giveUp(t testing.TB, s domain.Settlement, seqs ...int64) {
	t.Helper()
	d.exec(t, `INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, endpoint_id, seq)
		SELECT $1, gen_random_uuid(), '', '', '{}', 'delivery_failed', '', 8, $2, seq FROM unnest($3::bigint[]) AS seq`, s.TenantID, s.EndpointID, seqs)
}

func TestCountReplay(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.replayed(t)
	d.giveUp(t, s, 1, 2, 2, 7, 25, 35)
	last := ask[int64](t, d, `SELECT max(id) FROM dead_letters`)
	d.exec(t, `UPDATE dead_letters SET replayed_at = now() WHERE seq = 7`)
	now := time.Now()
	for name, tt := range map[string]struct {
		q               domain.ReplayQuery
		from, to, total int64 // 0 for nothing to replay
	}{
		"all":               {domain.ReplayQuery{}, 1, 30, 30},
		"range":             {domain.ReplayQuery{FromSeq: 5, ToSeq: 9}, 5, 9, 5},
		"one":               {domain.ReplayQuery{FromSeq: 30, ToSeq: 30}, 30, 30, 1},
		"past the cursor":   {domain.ReplayQuery{FromSeq: 29, ToSeq: 99}, 29, 30, 2},
		"not passed yet":    {domain.ReplayQuery{FromSeq: 31}, 0, 0, 0},
		"since":             {domain.ReplayQuery{From: now.Add(-time.Hour)}, 21, 30, 10},
		"until":             {domain.ReplayQuery{To: now.Add(-time.Hour)}, 1, 20, 20},
		"since and seq":     {domain.ReplayQuery{From: now.Add(-time.Hour), FromSeq: 10, ToSeq: 22}, 21, 22, 2},
		"later":             {domain.ReplayQuery{From: now.Add(time.Hour)}, 0, 0, 0},
		"earlier":           {domain.ReplayQuery{To: now.AddDate(0, 0, -2)}, 0, 0, 0},
		"since for ever":    {domain.ReplayQuery{From: now.AddDate(0, 0, -2), To: now.Add(time.Hour)}, 1, 30, 30},
		"a type":            {domain.ReplayQuery{Types: []domain.TypePattern{"a.x"}}, 1, 30, 10},
		"types":             {domain.ReplayQuery{Types: []domain.TypePattern{"a.x", "a.*.x"}, FromSeq: 2}, 2, 30, 19},
		"any type":          {domain.ReplayQuery{Types: []domain.TypePattern{"*"}}, 1, 30, 20},
		"a type of nothing": {domain.ReplayQuery{Types: []domain.TypePattern{"a_x"}}, 0, 0, 0},
		"failed":            {domain.ReplayQuery{OnlyFailed: true}, 1, 30, 3},
		"failed of a type":  {domain.ReplayQuery{OnlyFailed: true, Types: []domain.TypePattern{"a.b.x"}}, 1, 30, 1},
		"failed in a range": {domain.ReplayQuery{OnlyFailed: true, FromSeq: 3, ToSeq: 25}, 3, 25, 1},
		"none failed":       {domain.ReplayQuery{OnlyFailed: true, FromSeq: 26}, 0, 0, 0},
	} {
		tt.q.TenantID, tt.q.EndpointID, tt.q.Rate = s.TenantID, s.EndpointID, 9
		r, err := d.store.CountReplay(t.Context(), tt.q)
		if tt.total == 0 {
			require.ErrorIs(t, err, domain.ErrNotFound, name)
			require.Equal(t, "nothing_to_replay", domain.CodeOf(err), name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, domain.Replay{
			TenantID: s.TenantID, EndpointID: s.EndpointID, From: tt.from, To: tt.to, OnlyFailed: tt.q.OnlyFailed, LastLetter: last, Types: tt.q.Types,
			Rate: 9, State: domain.ReplayRunning, Cursor: tt.from - 1, Total: tt.total,
		}, r, name)
	}

	// The endpoint's own types count as well, and what is not kept does not.
	d.exec(t, `UPDATE endpoints SET types = '{a.*.x}'`)
	d.exec(t, `UPDATE tenant_streams SET first_seq = 10`)
	q := domain.ReplayQuery{TenantID: s.TenantID, EndpointID: s.EndpointID}
	r, err := d.store.CountReplay(t.Context(), q)
	require.NoError(t, err)
	require.Equal(t, []int64{10, 30, 7}, []int64{r.From, r.To, r.Total})
	q.Types = []domain.TypePattern{"a.x"}
	_, err = d.store.CountReplay(t.Context(), q)
	require.ErrorIs(t, err, domain.ErrNotFound)
	q.EndpointID = uuid.New()
	_, err = d.store.CountReplay(t.Context(), q)
	require.Equal(t, "endpoint_not_found", domain.CodeOf(err))
}

func TestReplays(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.replayed(t)
	conn := d.connect(t)
	_, err := conn.Exec(t.Context(), listenSQL)
	require.NoError(t, err)
	heard := func() {
		n, err := conn.WaitForNotification(t.Context())
		require.NoError(t, err)
		require.Equal(t, "deliveries:"+s.TenantID.String(), n.Payload)
	}
	q := domain.ReplayQuery{TenantID: s.TenantID, EndpointID: s.EndpointID, FromSeq: 3, Types: []domain.TypePattern{"a.*"}, Rate: 50}
	running, err := d.store.RunningReplay(t.Context(), s.TenantID, s.EndpointID)
	require.NoError(t, err)
	require.Nil(t, running)
	r, err := d.store.InsertReplay(t.Context(), q)
	require.NoError(t, err)
	heard()
	require.WithinDuration(t, time.Now(), r.CreatedAt, time.Minute)
	want := domain.Replay{
		ID: r.ID, TenantID: s.TenantID, EndpointID: s.EndpointID, From: 3, To: 30, Types: q.Types, Rate: 50, State: domain.ReplayRunning,
		Cursor: 2, Total: 18, CreatedAt: r.CreatedAt,
	}
	require.Equal(t, want, r)
	got, err := d.store.FindReplay(t.Context(), s.TenantID, s.EndpointID, r.ID)
	require.NoError(t, err)
	require.Equal(t, want, got)
	running, err = d.store.RunningReplay(t.Context(), s.TenantID, s.EndpointID)
	require.NoError(t, err)
	require.Equal(t, &want, running)

	_, err = d.store.InsertReplay(t.Context(), q)
	require.ErrorIs(t, err, domain.ErrConflict)
	require.Equal(t, "replay_running", domain.CodeOf(err))
	for _, ids := range [][3]uuid.UUID{{s.TenantID, s.EndpointID, uuid.New()}, {s.TenantID, uuid.New(), r.ID}, {uuid.New(), s.EndpointID, r.ID}} {
		_, err = d.store.FindReplay(t.Context(), ids[0], ids[1], ids[2])
		require.ErrorIs(t, err, domain.ErrNotFound)
		_, err = d.store.CancelReplay(t.Context(), ids[0], ids[1], ids[2])
		require.ErrorIs(t, err, domain.ErrNotFound)
	}

	canceled, err := d.store.CancelReplay(t.Context(), s.TenantID, s.EndpointID, r.ID)
	require.NoError(t, err)
	require.Equal(t, domain.ReplayCanceled, canceled.State)
	require.False(t, canceled.EndedAt.IsZero())
	again, err := d.store.CancelReplay(t.Context(), s.TenantID, s.EndpointID, r.ID)
	require.NoError(t, err)
	require.Equal(t, canceled, again, "one that has ended stays as it is")
	next, err := d.store.InsertReplay(t.Context(), q)
	require.NoError(t, err, "and leaves room for another")
	for limit, want := range [][]domain.Replay{{}, {next}, {next, canceled}, {next, canceled}} {
		listed, err := d.store.ListReplays(t.Context(), s.TenantID, s.EndpointID, limit)
		require.NoError(t, err)
		require.Equal(t, want, listed)
	}

	q.EndpointID = uuid.New()
	_, err = d.store.InsertReplay(t.Context(), q)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// Of replays that are begun at the same time one runs.
func TestOneReplayAtATime(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.replayed(t)
	var beginning sync.WaitGroup
	errs := make(chan error, 8)
	for range cap(errs) {
		beginning.Go(func() {
			_, err := d.store.InsertReplay(context.WithoutCancel(t.Context()), domain.ReplayQuery{TenantID: s.TenantID, EndpointID: s.EndpointID, Rate: 1})
			errs <- err
		})
	}
	beginning.Wait()
	begun := 0
	for range cap(errs) {
		err := <-errs
		if err == nil {
			begun++
			continue
		}
		require.ErrorIs(t, err, domain.ErrConflict)
	}
	require.Equal(t, 1, begun)
}

func TestReadReplay(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.replayed(t)
	other := s
	other.EndpointID = uuid.New()
	d.giveUp(t, s, 1, 2, 2, 5, 7, 25)
	d.giveUp(t, other, 3)
	d.exec(t, `UPDATE dead_letters SET replayed_at = now() - interval '1 h' WHERE seq = 7`)
	d.exec(t, `INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id) SELECT $1, $2, seq, $2 FROM unnest('{4,5}'::bigint[]) AS seq`, s.TenantID, s.EndpointID)
	// read returns the members, a page after the other, until there are no more.
	read := func(r domain.Replay, limit, maxBytes int) (seqs []int64) {
		r.TenantID, r.EndpointID, r.CreatedAt, r.LastLetter = s.TenantID, s.EndpointID, time.Now().Add(-time.Minute), 6
		for cursor := r.From - 1; cursor < r.To; {
			members, next, err := d.store.ReadReplay(t.Context(), &r, cursor, limit, maxBytes)
			require.NoError(t, err)
			require.LessOrEqual(t, len(members), limit)
			require.Greater(t, next, cursor)
			require.LessOrEqual(t, next, r.To)
			for _, m := range members {
				require.NotEmpty(t, m.Payload)
				seqs = append(seqs, m.Seq)
			}
			cursor = next
		}
		return seqs
	}
	for _, limit := range []int{1, 2, 3, 100} {
		require.Equal(t, []int64{1, 2, 3, 6, 7, 8}, read(domain.Replay{From: 1, To: 8}, limit, testBytes), "those that are open are no members")
		require.Equal(t, []int64{1, 7, 10}, read(domain.Replay{From: 1, To: 12, Types: []domain.TypePattern{"a.x"}}, limit, testBytes))
		require.Equal(t, []int64{1, 2, 7, 8, 10, 11}, read(domain.Replay{From: 1, To: 12, Types: []domain.TypePattern{"*"}}, limit, testBytes))
		require.Equal(t, []int64{1, 2, 25}, read(domain.Replay{From: 1, To: 30, OnlyFailed: true}, limit, testBytes), "those that were replayed before are none")
		require.Equal(t, []int64{2}, read(domain.Replay{From: 2, To: 24, OnlyFailed: true, Types: []domain.TypePattern{"a.*"}}, limit, testBytes))
	}
	require.Equal(t, []int64{1, 2, 3, 6}, read(domain.Replay{From: 1, To: 6}, 100, 1), "one at a time when there is no room")
	d.giveUp(t, s, 9)
	require.Equal(t, []int64{1, 2, 25}, read(domain.Replay{From: 1, To: 30, OnlyFailed: true}, 100, testBytes), "what dies later is none")

	r := domain.Replay{TenantID: s.TenantID, EndpointID: s.EndpointID, From: 1, To: 8}
	members, next, err := d.store.ReadReplay(t.Context(), &r, 8, 10, testBytes)
	require.NoError(t, err)
	require.Empty(t, members)
	require.EqualValues(t, 8, next)
}

// A read of a replay is bounded, however many messages are no members.
func TestReadReplayIsBounded(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.newEndpoints(t, 1, 1)[0]
	d.exec(t, `INSERT INTO messages (id, tenant_id, payload, seq, bytes, type)
		SELECT gen_random_uuid(), $1, '1', n, 1, CASE WHEN n = 25000 THEN 'b' ELSE 'a' END FROM generate_series(1, 30000) AS n`, s.TenantID)
	d.exec(t, `UPDATE tenant_streams SET last_seq = 30000`)
	d.exec(t, `UPDATE endpoint_cursors SET settled_seq = 30000`)
	q := domain.ReplayQuery{TenantID: s.TenantID, EndpointID: s.EndpointID, Types: []domain.TypePattern{"b"}}
	r, err := d.store.CountReplay(t.Context(), q)
	require.NoError(t, err)
	require.EqualValues(t, 1, r.Total)
	var ends []int64
	var found []domain.Message
	for cursor := int64(0); cursor < r.To; {
		members, next, err := d.store.ReadReplay(t.Context(), &r, cursor, 10, testBytes)
		require.NoError(t, err)
		found, ends, cursor = append(found, members...), append(ends, next), next
	}
	require.Equal(t, []int64{10000, 20000, 30000}, ends)
	require.Len(t, found, 1)
	require.EqualValues(t, 25000, found[0].Seq)
	plan := d.explain(t, readReplaySQL, r.TenantID, 0, 11, testBytes, 10000, r.EndpointID, likePatterns(r.Types))
	require.Contains(t, plan, "_seq_tenant_id_key", plan)
	require.Contains(t, plan, "deliveries_pkey", plan)
	plan = d.explain(t, readFailedReplaySQL, r.TenantID, 0, 11, testBytes, 10000, r.EndpointID, likePatterns(r.Types), 5, time.Now())
	require.Contains(t, plan, "dead_letters_endpoint_idx", plan)
}

// What LIKE selects is what the patterns select.
func TestPatternsAreTheSameInTheDatabase(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	types := []string{"", "a", "a.b", "a.b.c", "a.x.b", "a.b.b", "b.a", "a_b", "axb", "a..b", ".", "a.", ".a", "a.b.", "a\nb", "a.\n.b", "%", "a.%"}
	for _, p := range []domain.TypePattern{"*", "a", "a.*", "*.b", "a.*.b", "*.*", "a_b", "*.*.*", "a.b.*"} {
		for _, text := range types {
			require.Equal(t, p.Matches(text), ask[bool](t, d, `SELECT $1 <> '' AND $1 LIKE ANY($2::text[])`, text, likePatterns([]domain.TypePattern{p})), "%q %q", p, text)
		}
	}
}
