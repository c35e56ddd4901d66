package repository

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
)

func seqs(messages []domain.Message) []int64 {
	var all []int64
	for _, m := range messages {
		all = append(all, m.Seq)
	}
	return all
}

// testBytes is how much a read may take.
const testBytes = 4 << 20

func TestReadStream(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 2)
	_, err := d.store.AppendMessages(t.Context(), messagesFor(t, tenants, 20))
	require.NoError(t, err)
	history := d.history(t, tenants[0])
	for name, tt := range map[string]struct {
		cursor int64
		limit  int
		want   []domain.Message
	}{
		"from the start":    {0, 3, history[:3]},
		"after a cursor":    {3, 3, history[3:6]},
		"exactly the rest":  {7, 3, history[7:]},
		"less than a limit": {8, 3, history[8:]},
		"at the end":        {10, 3, nil},
		"nothing asked for": {0, 0, nil},
		"all":               {0, 1000, history},
	} {
		messages, more, err := d.store.ReadStream(t.Context(), tenants[0], tt.cursor, tt.limit, testBytes)
		require.NoError(t, err, name)
		require.Equal(t, tt.want, messages, name)
		require.Equal(t, len(tt.want) > 0 && tt.want[len(tt.want)-1].Seq < 10, more, name)
	}

	_, _, err = d.store.ReadStream(t.Context(), tenants[0], 11, 3, testBytes)
	require.ErrorIs(t, err, domain.ErrConflict)
	_, _, err = d.store.ReadStream(t.Context(), newID(t), 0, 3, testBytes)
	require.ErrorIs(t, err, domain.ErrNotFound)
}

func TestReadStreamIsBoundedInBytes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	var big []domain.Message
	for i := range 12 {
		filler := strings.Repeat("x", 1<<20-2) // next to nothing in the store
		if i%2 == 0 {
			var text strings.Builder
			for text.Len() < 1<<20-40 {
				text.WriteString(uuid.NewString())
			}
			filler = text.String()
		}
		big = append(big, message(t, id, `"`+filler+`"`))
	}
	_, err := d.store.AppendMessages(t.Context(), big)
	require.NoError(t, err)
	var seen []int64
	for cursor := int64(0); cursor < int64(len(big)); cursor = seen[len(seen)-1] {
		messages, _, err := d.store.ReadStream(t.Context(), id, cursor, 1000, testBytes)
		require.NoError(t, err)
		size := 0
		for _, m := range messages {
			size += len(m.Payload)
		}
		require.LessOrEqual(t, size, testBytes)
		require.NotEmpty(t, messages)
		seen = append(seen, seqs(messages)...)
	}
	require.Equal(t, seqs(d.history(t, id)), seen)

	// A message larger than that is returned alone.
	_, err = d.owner.Exec(t.Context(), `UPDATE messages SET payload = to_jsonb(repeat('y', 5000000)) WHERE tenant_id = $1 AND seq IN (2, 3)`, id)
	require.NoError(t, err)
	messages, _, err := d.store.ReadStream(t.Context(), id, 1, 10, testBytes)
	require.NoError(t, err)
	require.Equal(t, []int64{2}, seqs(messages))
}

func TestStreamsOfExpiredMessages(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	bounds := func() domain.StreamBounds {
		b, err := d.store.StreamBounds(t.Context(), id)
		require.NoError(t, err)
		return b
	}
	require.Equal(t, domain.StreamBounds{First: 1, Last: 0}, bounds())
	_, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 10))
	require.NoError(t, err)
	require.Equal(t, domain.StreamBounds{First: 1, Last: 10}, bounds())

	// They are gone as soon as the history says so, deleted or not.
	_, err = d.owner.Exec(t.Context(), `UPDATE tenant_streams SET first_seq = 5 WHERE tenant_id = $1`, id)
	require.NoError(t, err)
	require.Equal(t, domain.StreamBounds{First: 5, Last: 10}, bounds())
	for cursor := range int64(4) {
		_, _, err = d.store.ReadStream(t.Context(), id, cursor, 10, testBytes)
		require.ErrorIs(t, err, domain.ErrGone, cursor)
	}
	messages, _, err := d.store.ReadStream(t.Context(), id, 4, 2, testBytes)
	require.NoError(t, err)
	require.Equal(t, []int64{5, 6}, seqs(messages))

	_, err = d.owner.Exec(t.Context(), `UPDATE messages SET created_at = now() - interval '3 days' WHERE tenant_id = $1`, id)
	require.NoError(t, err)
	for more := true; more; {
		expiry, err := d.store.ExpireMessages(t.Context(), domain.Retention{TenantID: id, Days: 2}, 100)
		require.NoError(t, err)
		more = expiry.More
	}
	require.Equal(t, domain.StreamBounds{First: 11, Last: 10}, bounds())
	messages, _, err = d.store.ReadStream(t.Context(), id, 10, 10, testBytes)
	require.NoError(t, err)
	require.Empty(t, messages)
	_, _, err = d.store.ReadStream(t.Context(), id, 9, 10, testBytes)
	require.ErrorIs(t, err, domain.ErrGone)

	_, err = d.store.StreamBounds(t.Context(), newID(t))
	require.ErrorIs(t, err, domain.ErrNotFound)
}

// While messages expire under its feet a stream may be told that they are
// gone, but never sees the later ones as if nothing were missing.
func TestReadStreamWhileMessagesExpire(t *testing.T) {
	t.Parallel()
	const total, reads = 4000, 100
	d := newDatabase(t)
	id := d.newTenants(t, 1)[0]
	for range total / 500 {
		_, err := d.store.AppendMessages(t.Context(), messagesFor(t, []uuid.UUID{id}, 500))
		require.NoError(t, err)
	}
	_, err := d.owner.Exec(t.Context(), `UPDATE messages SET created_at = now() - interval '3 days' WHERE tenant_id = $1`, id)
	require.NoError(t, err)
	work, ctx := errgroup.WithContext(t.Context())
	done := make(chan struct{})
	work.Go(func() error {
		defer close(done)
		for more := true; more; {
			expiry, err := d.store.ExpireMessages(ctx, domain.Retention{TenantID: id, Days: 2}, 25)
			if err != nil {
				return err
			}
			more = expiry.More
		}
		return nil
	})
	for range 3 {
		work.Go(func() error {
			cursor := int64(0)
			for running := true; running; {
				select {
				case <-done:
					running = false
				default:
				}
				messages, _, err := d.store.ReadStream(ctx, id, cursor, reads, testBytes)
				switch {
				case errors.Is(err, domain.ErrGone):
					b, err := d.store.StreamBounds(ctx, id)
					if err != nil {
						return err
					}
					cursor = b.First - 1
					continue
				case err != nil:
					return err
				case cursor == total && len(messages) == 0:
					continue
				case len(messages) == 0 || messages[0].Seq != cursor+1:
					return errors.New("messages are missing and nobody says so")
				}
				cursor = messages[0].Seq // slowly, so that the end of what is kept stays near
			}
			return nil
		})
	}
	require.NoError(t, work.Wait())
}

// Streams must neither take connections from the others nor wait for theirs.
func TestStreamsHaveConnectionsOfTheirOwn(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	s := d.open(t, Options{MaxConns: 1, StreamConns: 1})
	id := d.newTenants(t, 1)[0]
	general, err := s.general.Acquire(t.Context())
	require.NoError(t, err)
	defer general.Release()
	_, _, err = s.ReadStream(t.Context(), id, 0, 1, testBytes)
	require.NoError(t, err)

	stream, err := s.streams.Acquire(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err = s.ReadStream(ctx, id, 0, 1, testBytes)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	var settings []string
	for _, name := range []string{"application_name", "statement_timeout", "lock_timeout", "plan_cache_mode"} {
		var value string
		require.NoError(t, stream.QueryRow(t.Context(), `SELECT current_setting($1)`, name).Scan(&value))
		settings = append(settings, value)
	}
	stream.Release()
	require.Equal(t, []string{"lanekeeper-stream", "5s", "250ms", "force_custom_plan"}, settings)
}

// The reads go by the index whatever the planner believes of the table, and
// touch no partition but the tenant's.
func TestReadStreamGoesByTheIndex(t *testing.T) {
	t.Parallel()
	d := newDatabase(t)
	tenants := d.newTenants(t, 3)
	_, err := d.store.AppendMessages(t.Context(), messagesFor(t, tenants, 300))
	require.NoError(t, err)
	var plan []string
	require.NoError(t, d.store.WithTenant(t.Context(), streamAccess, tenants[:1], func(on session) error {
		rows, err := on.Query(t.Context(), "EXPLAIN "+readStreamSQL, tenants[0], 50, 10, testBytes)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var line string
			if err := rows.Scan(&line); err != nil {
				return err
			}
			plan = append(plan, line)
		}
		return rows.Err()
	}))
	text := strings.Join(plan, "\n")
	require.Contains(t, text, "seq_tenant_id_key", text)
	require.NotContains(t, text, "Seq Scan", text)
	scans := slices.DeleteFunc(plan, func(line string) bool { return !strings.Contains(line, " on messages") })
	require.Len(t, scans, 1, text)
}
