package repository

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestMessageDeliveries(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	d.exec(t, `CREATE TABLE attempts_all PARTITION OF attempts DEFAULT`)
	tenants := d.newTenants(t, 2)
	sent := messagesFor(t, tenants[:1], 4)
	_, err := d.store.AppendMessages(t.Context(), sent)
	require.NoError(t, err)
	m := domain.Message{ID: sent[1].ID, TenantID: tenants[0], Seq: 2}
	none, err := d.store.MessageDeliveries(t.Context(), &m)
	require.NoError(t, err)
	require.Empty(t, none)

	next := time.Unix(1_900_000_000, 0).UTC()
	row := func(e uuid.UUID, seq int64, attempts, status int, at any) {
		d.exec(t, `INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, attempts, last_status, next_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			tenants[0], e, seq, sent[seq-1].ID, attempts, status, at)
	}
	attempt := func(e, message uuid.UUID, second, status int, text string) {
		d.exec(t, `INSERT INTO attempts (id, tenant_id, endpoint_id, message_id, seq, number, probe, at, duration_ms, status, error)
			VALUES (gen_random_uuid(), $1, $2, $3, 2, 1, false, to_timestamp($4), 1, $5, $6)`, tenants[0], e, message, second, status, text)
	}
	letter := func(e uuid.UUID, seq int64, attempts int) {
		d.exec(t, `INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, endpoint_id, seq)
			VALUES ($1, gen_random_uuid(), 'x', '', '{}', 'delivery_failed', 'x', $2, $3, $4)`, tenants[0], attempts, e, seq)
	}
	var want []domain.MessageDelivery
	for _, c := range []struct {
		types  []domain.TypePattern
		before bool // the cursor has not got as far as the message
		record func(e uuid.UUID)
		want   domain.MessageDelivery
	}{
		{before: true, want: domain.MessageDelivery{State: domain.DeliveryPending}},
		{want: domain.MessageDelivery{State: domain.DeliveryPassed}},
		{types: []domain.TypePattern{"other"}},
		{types: []domain.TypePattern{"other"}, before: true},
		{
			record: func(e uuid.UUID) { row(e, 2, 3, 503, next); attempt(e, m.ID, 1, 200, "") },
			want:   domain.MessageDelivery{State: domain.DeliveryRetrying, Attempts: 3, LastStatus: 503, NextAt: next},
		},
		{record: func(e uuid.UUID) { row(e, 2, 0, 0, nil); row(e, 1, 1, 500, next) }, want: domain.MessageDelivery{State: domain.DeliveryPending}},
		{
			record: func(e uuid.UUID) { attempt(e, m.ID, 2, 204, ""); attempt(e, m.ID, 1, 500, "status 500") },
			want:   domain.MessageDelivery{State: domain.DeliveryDelivered, Attempts: 2, LastStatus: 204},
		},
		{types: []domain.TypePattern{"other"}, record: func(e uuid.UUID) { attempt(e, m.ID, 1, 204, "") }, // it was resent
			want: domain.MessageDelivery{State: domain.DeliveryDelivered, Attempts: 1, LastStatus: 204}},
		{
			before: true, record: func(e uuid.UUID) { attempt(e, m.ID, 1, 204, "") },
			want: domain.MessageDelivery{State: domain.DeliveryDelivered, Attempts: 1, LastStatus: 204},
		},
		{
			record: func(e uuid.UUID) { letter(e, 2, 5); letter(e, 2, 8); attempt(e, m.ID, 1, 500, "status 500") },
			want:   domain.MessageDelivery{State: domain.DeliveryFailed, Attempts: 8, LastStatus: 500},
		},
		{
			record: func(e uuid.UUID) { letter(e, 3, 8); row(e, 3, 1, 500, next); attempt(e, sent[2].ID, 1, 204, "") },
			want:   domain.MessageDelivery{State: domain.DeliveryPassed},
		},
		{record: func(e uuid.UUID) { letter(e, 2, 8); attempt(e, m.ID, 1, 200, "") }, // it was replayed
			want: domain.MessageDelivery{State: domain.DeliveryDelivered, Attempts: 1, LastStatus: 200}},
	} {
		e := plainEndpoint(t, tenants[0])
		e.Types = c.types
		e = d.insertEndpoint(t, e)
		if c.before {
			d.exec(t, `UPDATE endpoint_cursors SET settled_seq = 1 WHERE endpoint_id = $1`, e.ID)
		}
		if c.record != nil {
			c.record(e.ID)
		}
		if c.want.State != "" {
			c.want.EndpointID = e.ID
			want = append(want, c.want)
		}
	}
	d.insertEndpoint(t, plainEndpoint(t, tenants[1]))
	got, err := d.store.MessageDeliveries(t.Context(), &m)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// blocked returns a fifo endpoint of which these seqs failed before.
func (d *database) blocked(t testing.TB, tenantID uuid.UUID, messages []domain.Message, failed ...int64) domain.Endpoint {
	t.Helper()
	e := plainEndpoint(t, tenantID)
	e.Ordering = domain.OrderingFIFO
	e = d.insertEndpoint(t, e)
	for _, seq := range failed {
		d.exec(t, `INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, attempts, round, next_at, last_status, last_error)
			VALUES ($1, $2, $3, $4, 5, 2, now() + '1 hour', 503, 'status 503')`, tenantID, e.ID, seq, messages[seq-1].ID)
	}
	return e
}

func TestResend(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 2)
	messages := messagesFor(t, tenants[:1], 5)
	_, err := d.store.AppendMessages(t.Context(), messages)
	require.NoError(t, err)
	e := d.blocked(t, tenants[0], messages, 2)
	d.exec(t, `UPDATE endpoint_cursors SET settled_seq = 4`)
	d.exec(t, `INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, ordering_key) VALUES ($1, $2, 3, $3, 'k')`, tenants[0], e.ID, messages[2].ID)
	listening := d.connect(t)
	_, err = listening.Exec(t.Context(), listenSQL)
	require.NoError(t, err)

	type row struct {
		Attempts, Round int
		Due, Waits      bool
	}
	rows := func() map[int64]row {
		found := make(map[int64]row)
		all, err := d.owner.Query(t.Context(), `SELECT seq, attempts, round, coalesce(next_at <= now(), false), next_at IS NULL FROM deliveries WHERE endpoint_id = $1`, e.ID)
		require.NoError(t, err)
		for all.Next() {
			var seq int64
			var r row
			require.NoError(t, all.Scan(&seq, &r.Attempts, &r.Round, &r.Due, &r.Waits))
			found[seq] = r
		}
		require.NoError(t, all.Err())
		return found
	}
	before := rows()
	for name, c := range map[string]struct {
		tenant, endpoint, message uuid.UUID
		kind                      domain.Kind
		code                      string
	}{
		"a message that is not stored": {tenants[0], e.ID, newID(t), domain.ErrNotFound, "message_not_found"},
		"no endpoint":                  {tenants[0], newID(t), messages[0].ID, domain.ErrNotFound, "endpoint_not_found"},
		"of another tenant":            {tenants[1], e.ID, messages[0].ID, domain.ErrNotFound, "endpoint_not_found"},
		"ahead of the cursor":          {tenants[0], e.ID, messages[4].ID, domain.ErrConflict, "not_yet_settled"},
		"behind its key":               {tenants[0], e.ID, messages[2].ID, domain.ErrConflict, "waits_for_key"},
	} {
		err := d.store.Resend(t.Context(), c.tenant, c.endpoint, c.message)
		require.ErrorIs(t, err, c.kind, name)
		require.Equal(t, c.code, domain.CodeOf(err), name)
	}
	require.Equal(t, before, rows())

	require.NoError(t, d.store.Resend(t.Context(), tenants[0], e.ID, messages[0].ID))
	n, err := listening.WaitForNotification(t.Context())
	require.NoError(t, err)
	require.Equal(t, "deliveries:"+tenants[0].String(), n.Payload)
	require.NoError(t, d.store.Resend(t.Context(), tenants[0], e.ID, messages[0].ID), "again, it is due already")
	require.NoError(t, d.store.Resend(t.Context(), tenants[0], e.ID, messages[1].ID), "one that waits for its next attempt")
	d.exec(t, `INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, endpoint_id, seq, round)
		VALUES ($1, gen_random_uuid(), 'x', '', '{}', 'delivery_failed', 'x', 8, $2, 4, 3)`, tenants[0], e.ID)
	require.NoError(t, d.store.Resend(t.Context(), tenants[0], e.ID, messages[3].ID), "one that was given up before")
	require.Equal(t, map[int64]row{1: {Due: true}, 2: {Attempts: 5, Round: 2, Due: true}, 3: {Waits: true}, 4: {Round: 4, Due: true}}, rows())
}

func TestSkipBlocking(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := []domain.Tenant{newTenant(t, uuid.Nil), newTenant(t, uuid.Nil)}
	for _, tenant := range tenants {
		require.NoError(t, d.store.InsertTenant(t.Context(), tenant, nil))
		require.NoError(t, d.store.CreatePartition(t.Context(), tenant.ID))
	}
	id := tenants[0].ID
	messages := messagesFor(t, []uuid.UUID{id}, 5)
	messages[1].Type, messages[1].OrderingKey, messages[1].Headers = "order.created", "order-1", map[string]string{"source": "shop"}
	_, err := d.store.AppendMessages(t.Context(), messages)
	require.NoError(t, err)
	e := d.blocked(t, id, messages, 2, 4)
	d.exec(t, `INSERT INTO deliveries (tenant_id, endpoint_id, seq, message_id, next_at) VALUES ($1, $2, 1, $3, now())`, id, e.ID, messages[0].ID)
	unordered := d.blocked(t, id, messages, 3)
	d.exec(t, `UPDATE endpoints SET ordering = 'key' WHERE id = $1`, unordered.ID)
	idle := d.blocked(t, id, messages)
	listening := d.connect(t)
	_, err = listening.Exec(t.Context(), listenSQL)
	require.NoError(t, err)

	for _, key := range [][2]uuid.UUID{{id, unordered.ID}, {id, idle.ID}} {
		_, err = d.store.SkipBlocking(t.Context(), key[0], key[1])
		require.ErrorIs(t, err, domain.ErrConflict)
		require.Equal(t, "nothing_to_skip", domain.CodeOf(err))
	}
	for _, key := range [][2]uuid.UUID{{tenants[1].ID, e.ID}, {id, newID(t)}} {
		_, err = d.store.SkipBlocking(t.Context(), key[0], key[1])
		require.Equal(t, "endpoint_not_found", domain.CodeOf(err))
	}
	letter, err := d.store.SkipBlocking(t.Context(), id, e.ID)
	require.NoError(t, err)
	require.Equal(t, messages[1].ID.String(), letter.MessageID)
	require.Equal(t, domain.DeliveryLetterID(id, e.ID, messages[1].ID, 2), letter.ID)
	require.Equal(t, "status 503", letter.Error)
	require.Equal(t, 5, letter.Attempts)
	require.JSONEq(t, string(messages[1].Payload), string(letter.Body))
	require.NotZero(t, letter.Seq)
	require.Equal(t, messages[1].Envelope(), letter.Envelope())
	require.Equal(t, "503", letter.Headers[domain.HeaderStatus])
	n, err := listening.WaitForNotification(t.Context())
	require.NoError(t, err)
	require.Equal(t, "deliveries:"+id.String(), n.Payload)

	recorded, _, err := d.store.ListDeadLetters(t.Context(), domain.DeadLetterQuery{TenantID: id, Limit: 10})
	require.NoError(t, err)
	require.Len(t, recorded, 1)
	require.Equal(t, letter.Seq, recorded[0].Seq)
	require.Equal(t, letter.Body, recorded[0].Body)
	require.Equal(t, letter, recorded[0])
	require.Equal(t, messages[1].Envelope(), recorded[0].Envelope())
	var endpoint uuid.UUID
	var seq int64
	var round int
	require.NoError(t, d.owner.QueryRow(t.Context(), `SELECT endpoint_id, seq, round FROM dead_letters`).Scan(&endpoint, &seq, &round))
	require.Equal(t, []any{e.ID, int64(2), 2}, []any{endpoint, seq, round})

	// One that was given up in this round already gets another letter.
	d.exec(t, `UPDATE dead_letters SET seq = 4, round = 7, letter_id = $1`, domain.DeliveryLetterID(id, e.ID, messages[3].ID, 7))
	d.exec(t, `UPDATE deliveries SET round = 7 WHERE seq = 4`)
	letter, err = d.store.SkipBlocking(t.Context(), id, e.ID)
	require.NoError(t, err)
	require.Equal(t, domain.DeliveryLetterID(id, e.ID, messages[3].ID, 8), letter.ID)
	_, err = d.store.SkipBlocking(t.Context(), id, e.ID)
	require.Equal(t, "nothing_to_skip", domain.CodeOf(err), "the last one has not failed yet")
	var rows int
	require.NoError(t, d.owner.QueryRow(t.Context(), `SELECT count(*) FROM deliveries WHERE endpoint_id = $1`, e.ID).Scan(&rows))
	require.Equal(t, 1, rows)
}
