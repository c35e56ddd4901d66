package repository

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

// endpointsVersion is the migration that gave tenants several endpoints.
const endpointsVersion = 19

// downTo reverts migrations, the one of this version included.
func (d *database) downTo(t *testing.T, version int64) *Migrator {
	t.Helper()
	m, err := NewMigrator(d.url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	for reverted := int64(0); reverted != version; {
		down, err := m.Down(t.Context())
		require.NoError(t, err)
		reverted = down[0].Version
	}
	return m
}

// upgraded returns a database that was upgraded with these messages of a tenant with
// an endpoint, and the tenant.
func upgraded(t *testing.T, n int) (*database, uuid.UUID, []domain.Message) {
	t.Helper()
	d := newDatabase(t)
	tenant := d.newTenants(t, 1)[0]
	messages := messagesFor(t, []uuid.UUID{tenant}, n)
	_, err := d.store.AppendMessages(t.Context(), messages)
	require.NoError(t, err)
	m := d.downTo(t, endpointsVersion)
	d.exec(t, `INSERT INTO endpoints (tenant_id, url, timeout_ms, secret) VALUES ($1, 'http://127.0.0.1', 5000, 's')`, tenant)
	_, err = m.Up(t.Context())
	require.NoError(t, err)
	d.secureRows(t)
	return d, tenant, messages
}

// cameBack says that messages came back, and returns those of before the upgrade.
func (d *database) cameBack(t testing.TB, tenantID uuid.UUID, messages ...domain.Message) []uuid.UUID {
	t.Helper()
	ids := make([]uuid.UUID, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	earlier, err := d.store.Returned(t.Context(), tenantID, ids)
	require.NoError(t, err)
	return earlier
}

// opened returns what is open, as "seq:attempts/status".
func (d *database) opened(t testing.TB) []string {
	t.Helper()
	return ask[[]string](t, d, `
		SELECT coalesce(array_agg(seq || ':' || attempts || '/' || last_status ORDER BY seq), '{}')
		FROM deliveries WHERE next_at <= now() AND round = 0`)
}

func (d *database) transmission(t testing.TB, m domain.Message, state string, attempts int) {
	t.Helper()
	d.exec(t, `INSERT INTO transmissions (tenant_id, message_id, state, attempts, last_status) VALUES ($1, $2, $3, $4, 500)`, m.TenantID, m.ID, state, attempts)
}

func (d *database) earlierLetter(t testing.TB, m domain.Message, reason string, replayed bool) {
	t.Helper()
	d.exec(t, `
		INSERT INTO dead_letters (tenant_id, letter_id, message_id, body, headers, reason, error, attempts, created_at, bytes, replayed_at)
		VALUES ($1, gen_random_uuid(), $2::uuid::text, '1', '{}', $3, '', 5, now(), 1, CASE WHEN $4::boolean THEN now() END)`,
		m.TenantID, m.ID, reason, replayed)
}

// What was under way at the upgrade becomes a delivery, once, with the attempts that
// were made; what was delivered or given up does not.
func TestReturnedMessagesAreDelivered(t *testing.T) {
	t.Parallel()
	d, tenant, m := upgraded(t, 9)
	later := messagesFor(t, []uuid.UUID{tenant}, 1)
	_, err := d.store.AppendMessages(t.Context(), later)
	require.NoError(t, err)
	require.EqualValues(t, 9, ask[int64](t, d, `SELECT settled_seq FROM endpoint_cursors`), "later messages are read in their turn")

	// m[0] was stored, and the process killed before it noted anything.
	d.transmission(t, m[1], "retrying", 3)
	d.transmission(t, m[2], "succeeded", 1)
	d.transmission(t, m[3], "failed", 5)
	d.earlierLetter(t, m[3], "transmit_failed", false)
	d.transmission(t, m[4], "failed", 0)
	d.earlierLetter(t, m[4], "endpoint_paused", false)
	d.transmission(t, m[5], "failed", 5) // its letter was not published any more
	d.transmission(t, m[6], "failed", 5) // its letter was replayed
	d.earlierLetter(t, m[6], "transmit_failed", true)
	d.transmission(t, m[7], "retrying", 1) // another letter says nothing of its delivery
	d.earlierLetter(t, m[7], "id_conflict", false)
	d.transmission(t, m[8], "retrying", 2)
	other := messagesFor(t, []uuid.UUID{tenant}, 1)[0] // not stored

	var ids []uuid.UUID
	for _, m := range m[:8] {
		ids = append(ids, m.ID)
	}
	conn := d.connect(t)
	_, err = conn.Exec(t.Context(), listenSQL)
	require.NoError(t, err)
	for range 2 {
		require.ElementsMatch(t, ids, d.cameBack(t, tenant, append(m[:8:8], later[0], other)...))
		require.Equal(t, []string{"1:0/0", "2:3/500", "6:0/500", "7:0/500", "8:1/500"}, d.opened(t))
	}
	n, err := conn.WaitForNotification(t.Context())
	require.NoError(t, err)
	require.Equal(t, "deliveries:"+tenant.String(), n.Payload)
	require.Equal(t, []string{"moved", "moved", "succeeded", "failed", "failed", "moved", "moved", "moved"}, ask[[]string](t, d, `
		SELECT array_agg(t.state ORDER BY m.seq) FROM messages m JOIN transmissions t ON t.message_id = m.id WHERE m.seq <= 8`))
	require.True(t, ask[bool](t, d, `SELECT bool_and(endpoint_id = (SELECT id FROM endpoints)) FROM deliveries d JOIN messages m ON m.id = d.message_id AND m.seq = d.seq`))

	// Once more, when the first ones are done with.
	d.exec(t, `DELETE FROM deliveries`)
	d.cameBack(t, tenant, append(m, later[0], other)...)
	require.Equal(t, []string{"9:2/500"}, d.opened(t))
}

// Its delivery may have been opened by somebody else, or be another round of one that
// was given up.
func TestReturnedMessagesMeetDeliveries(t *testing.T) {
	t.Parallel()
	d, tenant, m := upgraded(t, 2)
	endpoint := ask[uuid.UUID](t, d, `SELECT id FROM endpoints`)
	require.NoError(t, d.store.Resend(t.Context(), tenant, endpoint, m[0].ID))
	d.exec(t, `UPDATE deliveries SET attempts = 2`)
	d.earlierLetter(t, m[1], "delivery_failed", true)
	d.exec(t, `UPDATE dead_letters SET endpoint_id = $1, seq = 2, round = 3`, endpoint)
	d.cameBack(t, tenant, m...)
	require.Equal(t, []string{"1:2:0", "2:0:4"}, ask[[]string](t, d, `SELECT array_agg(seq || ':' || attempts || ':' || round ORDER BY seq) FROM deliveries`))
}

// Without the endpoint nothing is opened, but what is known stays known.
func TestReturnedMessagesOfNoEndpoint(t *testing.T) {
	t.Parallel()
	d, tenant, m := upgraded(t, 1)
	_, err := d.store.DeleteEndpoint(t.Context(), tenant, ask[uuid.UUID](t, d, `SELECT id FROM endpoints`))
	require.NoError(t, err)
	d.insertEndpoint(t, plainEndpoint(t, tenant))
	require.Len(t, d.cameBack(t, tenant, m...), 1)
	require.Empty(t, d.opened(t))
	require.Zero(t, d.count(t, `SELECT count(*) FROM transmissions`))
}

// A tenant that was not upgraded costs nothing, whatever comes back.
func TestReturnedMessagesOfOthersAreNotLookedFor(t *testing.T) {
	t.Parallel()
	d, tenant, m := upgraded(t, 1)
	require.Len(t, d.cameBack(t, tenant, m...), 1)
	d.store.Close()
	others := messagesFor(t, []uuid.UUID{newID(t)}, 1)
	require.Empty(t, d.cameBack(t, others[0].TenantID, others...))
	require.Empty(t, d.cameBack(t, tenant))
	_, err := d.store.Returned(t.Context(), tenant, []uuid.UUID{m[0].ID})
	require.ErrorIs(t, err, domain.ErrUnavailable)
}

// The queue and a retry tier may have the same message, at the same time, while its
// endpoint is deleted.
func TestReturnedMessagesAreTakenBackOnce(t *testing.T) {
	t.Parallel()
	const messages, callers = 200, 6
	d, tenant, m := upgraded(t, messages)
	endpoint := ask[uuid.UUID](t, d, `SELECT id FROM endpoints`)
	d.exec(t, `CREATE TABLE opened AS SELECT * FROM deliveries`)
	d.exec(t, `CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO opened SELECT NEW.*; RETURN NEW; END $$`)
	d.exec(t, `CREATE TRIGGER note BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION note()`)
	var g errgroup.Group
	for caller := range callers {
		g.Go(func() error {
			for i := 0; i < messages; i += 20 {
				var ids []uuid.UUID
				for j := range 20 {
					at := i + j
					if caller%2 == 1 {
						at = i + 19 - j
					}
					ids = append(ids, m[at].ID)
				}
				if _, err := d.store.Returned(t.Context(), tenant, ids); err != nil {
					return fmt.Errorf("caller %d: %w", caller, err)
				}
			}
			return nil
		})
	}
	require.NoError(t, g.Wait())
	require.Equal(t, messages, d.count(t, `SELECT count(*) FROM opened`))

	d.exec(t, `DELETE FROM transmissions`)
	done := make(chan error, 1)
	go func() {
		_, err := d.store.DeleteEndpoint(context.WithoutCancel(t.Context()), tenant, endpoint)
		done <- err
	}()
	for i := range messages {
		d.cameBack(t, tenant, m[i])
	}
	require.NoError(t, <-done)
	require.Zero(t, d.count(t, `SELECT count(*) FROM deliveries`), "nothing is left behind")
}

// A tenant whose endpoint was set before it was ready has a cursor, too.
func TestUpgradedTenantsWithoutAStream(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	m := d.downTo(t, endpointsVersion)
	id := newID(t)
	d.exec(t, `INSERT INTO endpoints (tenant_id, url, timeout_ms, secret) VALUES ($1, 'http://127.0.0.1', 5000, 's')`, id)
	_, err := m.Up(t.Context())
	require.NoError(t, err)
	require.Zero(t, ask[int64](t, d, `SELECT settled_seq FROM endpoint_cursors WHERE tenant_id = $1`, id))
}
