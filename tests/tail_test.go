package tests

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/domain"
	"lanekeeper/tests/apptest"
)

// forgetful is a store whose every other answer to an append gets lost.
type forgetful struct {
	domain.MessageRepository

	calls atomic.Int64
}

// AppendMessages implements domain.MessageRepository.
func (f *forgetful) AppendMessages(ctx context.Context, messages []domain.Message) ([]domain.AppendResult, error) {
	appended, err := f.MessageRepository.AppendMessages(ctx, messages)
	if err == nil && f.calls.Add(1)%2 == 1 {
		return nil, domain.New(domain.ErrUnavailable, "database_unavailable", "The reply to the commit is lost.")
	}
	return appended, err
}

// oddPayload is a payload that comes back as another text than was sent.
func oddPayload(n int) string {
	return fmt.Sprintf(`{"wide" : [1e1, -0.0, "\u00e9\/"],"n":%d,"a":{"b":1,"a":2},"a":{"d":%d.50,"c":null}}`, n, n)
}

// requireStreamed publishes messages, in rounds that are stored one after the other,
// while streams follow them, and requires each to have told what the history has, to
// the byte.
func requireStreamed(t *testing.T, app *apptest.App, tenant string, rounds int) {
	t.Helper()
	const streams, writers, perRound = 3, 4, 20
	total := rounds * perRound
	var work errgroup.Group
	told := make([][]apptest.Event, streams)
	for i := range told {
		s := app.Stream(tenant, "")
		work.Go(func() (err error) {
			told[i], err = s.Take(0, total)
			return err
		})
	}
	for round := range rounds {
		var publishing errgroup.Group
		for w := range writers {
			publishing.Go(func() error {
				for n := w; n < perRound; n += writers {
					if _, err := app.TryPublish(t.Context(), tenant, oddPayload(round*perRound+n)); err != nil {
						return err
					}
				}
				return nil
			})
		}
		require.NoError(t, publishing.Wait())
		app.Stored(tenant, (round+1)*perRound)
	}
	require.NoError(t, work.Wait())
	history := app.Stored(tenant, total)
	for _, events := range told {
		for i, m := range history {
			require.Equal(t, m, events[i].Message)
			require.Equal(t, string(m.Payload), string(events[i].Message.Payload))
		}
	}
}

// Streams read what was stored a moment ago from memory, and tell what the history
// has. The memory is given back with the last of them.
func TestStreamsReadMemory(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 4).ID
	const rounds = 20
	requireStreamed(t, app, tenant, rounds)
	metrics := app.Metrics()
	require.Positive(t, metrics.Value("lanekeeper_tail_memory_bytes"))
	require.Less(t, metrics.Value("lanekeeper_tail_misses_total"), rounds/2.0)
}

// A commit whose reply is lost leaves a gap in memory, which streams read from the
// database: they skip nothing and repeat nothing.
func TestStreamsSkipNothingOfUnansweredCommits(t *testing.T) {
	t.Parallel()
	app := apptest.New(t)
	app.Decorators.Messages = func(m domain.MessageRepository) domain.MessageRepository {
		return &forgetful{MessageRepository: m}
	}
	app.Start()
	tenant := app.CreateTenant("tenant", 4).ID
	const rounds = 10
	requireStreamed(t, app, tenant, rounds)
	require.GreaterOrEqual(t, app.Metrics().Value("lanekeeper_tail_misses_total"), float64(rounds))
}

// The streams of a tenant that is deleted end, and those of one whose messages were
// stored elsewhere go on, although nobody says so.
func TestStreamsFindOutByThemselves(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	tenant := app.CreateTenant("tenant", 1).ID
	app.Publish(tenant, `1`)
	app.Stored(tenant, 1)
	s := app.Stream(tenant, "cursor=0")
	_, err := s.Take(0, 1)
	require.NoError(t, err)
	app.Exec(`WITH raised AS (UPDATE tenant_streams SET last_seq = last_seq + 1 WHERE tenant_id = $1::uuid RETURNING last_seq)
		INSERT INTO messages (id, tenant_id, payload, created_at, seq) SELECT gen_random_uuid(), $1::uuid, '{"b":1,"a":2}', now(), last_seq FROM raised`, tenant)
	begun := time.Now()
	events, err := s.Take(1, 1)
	require.NoError(t, err)
	require.JSONEq(t, `{"a": 2, "b": 1}`, string(events[0].Message.Payload))
	require.Less(t, time.Since(begun), 10*time.Second)
	app.Want(http.StatusNoContent, nil, "DELETE", "/api/tenants/"+tenant, nil)
	_, err = s.Next()
	require.Error(t, err)
}
