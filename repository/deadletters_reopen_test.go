package repository

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// deliveredHistory has a tenant with n messages and an endpoint whose cursor has passed them,
// and returns both.
func (d *database) deliveredHistory(t testing.TB, n int) (domain.Settlement, []domain.Message) {
	t.Helper()
	s := d.newEndpoints(t, 1, 1)[0]
	messages := messagesFor(t, []uuid.UUID{s.TenantID}, n)
	_, err := d.store.AppendMessages(t.Context(), messages)
	require.NoError(t, err)
	d.exec(t, `UPDATE endpoint_cursors SET settled_seq = $2 WHERE endpoint_id = $1`, s.EndpointID, n)
	return s, messages
}

// deliveryLetter records the dead letter of a delivery and returns its seq.
func (d *database) deliveryLetter(t testing.TB, s domain.Settlement, m domain.Message, seq int64, round int) int64 {
	t.Helper()
	return ask[int64](t, d, `
		INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, bytes, endpoint_id, seq, round)
		VALUES ($1, $2, $3, $4, '{}', 'delivery_failed', 'status 500', 8, 10, $5, $6, $7) RETURNING id`,
		s.TenantID, domain.DeliveryLetterID(s.TenantID, s.EndpointID, m.ID, round), m.ID.String(), m.Payload, s.EndpointID, seq, round)
}

// refs returns the letters with these seqs, as a replay finds them.
func (d *database) refs(t testing.TB, tenantID uuid.UUID, seqs ...int64) []domain.DeadLetterRef {
	t.Helper()
	refs, err := d.store.ListDeadLetterRefs(t.Context(), domain.DeadLetterQuery{TenantID: tenantID, Seqs: seqs, Limit: 1000})
	require.NoError(t, err)
	return refs
}

// reopened lists the tenant's rows of deliveries, and the letters that were replayed.
func (d *database) reopened(t testing.TB, tenantID uuid.UUID) (rows string, letters []int64) {
	t.Helper()
	rows = ask[string](t, d, `
		SELECT coalesce(string_agg(format('%s r%s a%s%s', seq, round, attempts, CASE WHEN next_at <= now() THEN ' due' ELSE '' END), ', ' ORDER BY seq), '')
		FROM deliveries WHERE tenant_id = $1`, tenantID)
	letters = ask[[]int64](t, d, `SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM dead_letters WHERE tenant_id = $1 AND replayed_at IS NOT NULL`, tenantID)
	return rows, letters
}

func TestReopenDeliveries(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, messages := d.deliveredHistory(t, 12)
	id := s.TenantID
	d.exec(t, `UPDATE endpoint_cursors SET settled_seq = 10 WHERE endpoint_id = $1`, s.EndpointID)
	letter := func(seq int64, round int) int64 { return d.deliveryLetter(t, s, messages[seq-1], seq, round) }
	first, again, later := letter(1, 0), letter(2, 0), letter(2, 1)
	d.exec(t, `UPDATE dead_letters SET replayed_at = now() WHERE id = $1`, letter(3, 0))
	replayed := ask[int64](t, d, `SELECT max(id) FROM dead_letters`)
	open := letter(4, 0)
	d.exec(t, `INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, attempts, round, next_at) VALUES ($1, $2, 4, $3, 7, 1, now() + interval '1 h')`,
		id, s.EndpointID, messages[3].ID)
	ahead, resent := letter(11, 0), letter(6, 0)
	d.exec(t, `UPDATE dead_letters SET replayed_at = now() WHERE id = $1`, letter(6, 4)) // resent since, and given up once more
	gone := letter(5, 0)
	d.exec(t, `DELETE FROM messages WHERE tenant_id = $1 AND seq = 5`, id)
	other := s
	other.EndpointID = newID(t) // deleted meanwhile
	nowhere := d.deliveryLetter(t, other, messages[6], 7, 0)
	d.fillLetters(t, id, 1, map[string]string{"message_id": fmt.Sprintf("'%s'", messages[7].ID)}) // never stored by rights
	queue := ask[int64](t, d, `SELECT max(id) FROM dead_letters`)
	foreign, theirs := d.deliveredHistory(t, 1)
	foreignLetter := d.deliveryLetter(t, foreign, theirs[0], 1, 0)
	uncollected := letter(8, 0)
	d.exec(t, `UPDATE dead_letters SET endpoint_id = NULL, seq = NULL WHERE id = $1`, uncollected)

	listening := d.connect(t)
	_, err := listening.Exec(t.Context(), listenSQL)
	require.NoError(t, err)
	all := []int64{first, again, later, replayed, open, ahead, resent, gone, nowhere, queue, foreignLetter, uncollected}
	refs := d.refs(t, id, all...)
	require.Len(t, refs, 10, "neither another tenant's, nor what was replayed")
	require.Equal(t, domain.DeadLetterRef{Seq: first, TenantID: id, MessageID: messages[0].ID.String(), Reason: domain.ReasonDeliveryFailed, EndpointID: s.EndpointID}, refs[0])
	refs = append(refs,
		domain.DeadLetterRef{Seq: replayed, TenantID: id, MessageID: messages[2].ID.String(), Reason: domain.ReasonDeliveryFailed, EndpointID: s.EndpointID},
		domain.DeadLetterRef{Seq: foreignLetter, TenantID: id, MessageID: messages[8].ID.String(), Reason: domain.ReasonDeliveryFailed, EndpointID: foreign.EndpointID})
	n, err := d.store.ReopenDeliveries(t.Context(), id, refs)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	rows, marked := d.reopened(t, id)
	require.Equal(t, "1 r1 a0 due, 2 r2 a0 due, 4 r1 a7, 6 r5 a0 due", rows)
	require.ElementsMatch(t, []int64{first, later, resent, replayed, resent + 1}, marked)
	heard, err := listening.WaitForNotification(t.Context())
	require.NoError(t, err)
	require.Equal(t, "deliveries:"+id.String(), heard.Payload)
	require.Equal(t, messages[1].ID, ask[uuid.UUID](t, d, `SELECT message_id FROM deliveries WHERE tenant_id = $1 AND seq = 2`, id))
	theirRows, theirLetters := d.reopened(t, foreign.TenantID)
	require.Empty(t, theirRows)
	require.Empty(t, theirLetters)

	n, err = d.store.ReopenDeliveries(t.Context(), id, refs)
	require.NoError(t, err)
	require.Zero(t, n, "all of it is under way")
	none, err := d.store.ReopenDeliveries(t.Context(), id, nil)
	require.NoError(t, err)
	require.Zero(t, none)
}

// Letters of earlier versions are about the one endpoint that the tenant had.
func TestReopenDeliveriesOfEarlierVersions(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, messages := d.deliveredHistory(t, 3)
	named := domain.Message{ID: domain.StoredMessageID(s.TenantID, "order 4"), TenantID: s.TenantID, Payload: []byte(`4`)}
	_, err := d.store.AppendMessages(t.Context(), []domain.Message{named})
	require.NoError(t, err)
	d.exec(t, `UPDATE endpoint_cursors SET settled_seq = 4`)
	ids := []string{messages[0].ID.String(), messages[1].ID.String(), "order 4", "order 5", ""}
	reasons := []string{"transmit_failed", "endpoint_paused", "transmit_failed", "transmit_failed", "transmit_failed"}
	for i := range ids {
		d.fillLetters(t, s.TenantID, 1, map[string]string{"message_id": "'" + ids[i] + "'", "reason": "'" + reasons[i] + "'"})
	}
	all, err := d.store.ListDeadLetterRefs(t.Context(), domain.DeadLetterQuery{TenantID: s.TenantID, Limit: 10})
	require.NoError(t, err)
	n, err := d.store.ReopenDeliveries(t.Context(), s.TenantID, all)
	require.NoError(t, err)
	require.Zero(t, n, "it had no endpoint")

	d.exec(t, `INSERT INTO upgraded_endpoints (tenant_id, endpoint_id, up_to) VALUES ($1, $2, 4)`, s.TenantID, s.EndpointID)
	n, err = d.store.ReopenDeliveries(t.Context(), s.TenantID, all)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	rows, letters := d.reopened(t, s.TenantID)
	require.Equal(t, "1 r1 a0 due, 2 r1 a0 due, 4 r1 a0 due", rows)
	require.Equal(t, []int64{all[0].Seq, all[1].Seq, all[2].Seq}, letters)

	d.exec(t, `DELETE FROM deliveries`)
	d.exec(t, `UPDATE dead_letters SET replayed_at = NULL`)
	d.exec(t, `DELETE FROM endpoint_cursors`)
	n, err = d.store.ReopenDeliveries(t.Context(), s.TenantID, all)
	require.NoError(t, err)
	require.Zero(t, n, "the endpoint is gone")
}

// What was replayed and is given up once more is another letter.
func TestReplayedDeliveryDiesAgain(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, messages := d.deliveredHistory(t, 2)
	d.makeDays(t)
	all := []domain.Settlement{s}
	d.claimAll(t, all)
	s = all[0]
	for round := range 3 {
		died := domain.DeadLetter{
			ID: domain.DeliveryLetterID(s.TenantID, s.EndpointID, messages[0].ID, round), TenantID: s.TenantID, MessageID: messages[0].ID.String(),
			Reason: domain.ReasonDeliveryFailed, Body: []byte(`{}`), Attempts: 8,
		}
		s.GivenUp = []domain.GivenUp{{Letter: died, Seq: 1, Round: round}}
		for range 2 { // the answer to the commit was lost
			require.Equal(t, domain.SettleDone, d.settle(t, s))
		}
		waiting, _, err := d.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: s.TenantID, Limit: 10})
		require.NoError(t, err)
		require.Len(t, waiting, 1)
		require.Equal(t, round, waiting[0].Round)
		require.EqualValues(t, 1, waiting[0].MessageSeq)
		n, err := d.store.ReopenDeliveries(t.Context(), s.TenantID, d.refs(t, s.TenantID, waiting[0].Seq))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		rows, _ := d.reopened(t, s.TenantID)
		require.Equal(t, fmt.Sprintf("1 r%d a0 due", round+1), rows)
	}
}

// Rows and marks are there together or not at all, also when many replay the same
// letters at the same time and deliveries are settled.
func TestReopenDeliveriesAtTheSameTime(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	const n = 40
	s, messages := d.deliveredHistory(t, n)
	all := []domain.Settlement{s}
	d.claimAll(t, all)
	s = all[0]
	var seqs []int64
	for i := range messages {
		seqs = append(seqs, d.deliveryLetter(t, s, messages[i], int64(i+1), 0))
	}
	refs := d.refs(t, s.TenantID, seqs...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	store := d.open(t, Options{URL: d.withParams(t, "lock_timeout", "15s", "deadlock_timeout", "50ms")})
	counts := make([]int, 6)
	var workers sync.WaitGroup
	for i := range counts {
		workers.Go(func() {
			for at := range n {
				from := (at + 7*i) % n
				reopened, err := store.ReopenDeliveries(ctx, s.TenantID, refs[from:min(n, from+5)])
				if err != nil {
					t.Error(err)
				}
				counts[i] += reopened
			}
		})
	}
	workers.Go(func() { // deliver what is open, so that only the mark says that it was replayed
		for range 3 * n {
			done := s
			for seq := range int64(n) {
				done.Done = append(done.Done, seq+1)
			}
			if _, err := store.Settle(ctx, deliverer, []domain.Settlement{done}); err != nil {
				t.Error(err)
			}
		}
	})
	workers.Wait()
	total := 0
	for _, c := range counts {
		total += c
	}
	require.Equal(t, n, total, "each once")
	_, marked := d.reopened(t, s.TenantID)
	require.Equal(t, seqs, marked)

	// Nothing is half done.
	d.exec(t, `DELETE FROM deliveries`)
	d.exec(t, `UPDATE dead_letters SET replayed_at = NULL`)
	tx, err := d.connect(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT FROM dead_letters WHERE id = $1 FOR UPDATE`, seqs[3])
	require.NoError(t, err)
	_, err = d.store.ReopenDeliveries(t.Context(), s.TenantID, refs)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.NoError(t, tx.Rollback(t.Context()))
	rows, marked := d.reopened(t, s.TenantID)
	require.Empty(t, rows)
	require.Empty(t, marked)
}

// Nothing is left behind by an endpoint that is deleted at the same time.
func TestReopenDeliveriesOfAnEndpointThatGoes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s, messages := d.deliveredHistory(t, 1)
	refs := d.refs(t, s.TenantID, d.deliveryLetter(t, s, messages[0], 1, 0))
	tx, err := d.connect(t).Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `DELETE FROM endpoint_cursors WHERE endpoint_id = $1`, s.EndpointID)
	require.NoError(t, err)
	store := d.open(t, Options{URL: d.withParams(t, "lock_timeout", "15s")})
	type result struct {
		n   int
		err error
	}
	done := make(chan result, 1)
	go func() {
		n, err := store.ReopenDeliveries(context.WithoutCancel(t.Context()), s.TenantID, refs)
		done <- result{n, err}
	}()
	d.awaitWaiting(t, "lanekeeper")
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, result{}, <-done)
	rows, letters := d.reopened(t, s.TenantID)
	require.Empty(t, rows)
	require.Empty(t, letters)
}

// It is known by the keys what is to be reopened, however much there is of everything.
func TestReopeningReadsLittle(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenantID, _, _ := d.manyLetters(t)
	refs, err := d.store.ListDeadLetterRefs(t.Context(), domain.DeadLetterQuery{TenantID: tenantID, Limit: 200})
	require.NoError(t, err)
	require.Len(t, refs, 200)
	seqs, messages, earlier := make([]int64, len(refs)), make([]uuid.UUID, len(refs)), make([]bool, len(refs))
	for i := range refs {
		seqs[i], messages[i], earlier[i] = refs[i].Seq, newID(t), i == 0
	}
	for _, stage := range []string{`SELECT`, `ANALYZE dead_letters`} {
		d.exec(t, stage)
		blocks, plan := d.blocksRead(t, reopenDeliveriesSQL, tenantID, seqs, messages, earlier)
		require.Less(t, blocks, 2000, plan)
		q := domain.DeadLetterQuery{TenantID: tenantID}
		blocks, plan = d.blocksRead(t, listDeadLetterRefsSQL, append(letterArgs(&q, 200), 200)...)
		require.Less(t, blocks, 1200, plan)
		q.Seqs = seqs
		blocks, plan = d.blocksRead(t, listDeadLetterRefsSQL, append(letterArgs(&q, 200), 200)...)
		require.Less(t, blocks, 1200, plan)
		require.NotContains(t, plan, "Seq Scan")
	}
}
