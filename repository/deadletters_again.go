package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/postgres"
)

// replayedLettersSQL returns when letters were replayed, of those that were.
const replayedLettersSQL = `
SELECT letter_id, replayed_at FROM dead_letters WHERE tenant_id = $1 AND letter_id = ANY($2) AND replayed_at IS NOT NULL`

// clockMargin is how far the clock of the process that gave a message up may be
// behind the database's.
const clockMargin = 10 * time.Second

// diedAgain returns those of a tenant's letters that are recorded already,
// were replayed, and died after that: a message without a timestamp, sent once
// more, dies under the id that it had. Each gets an id of its own, which
// stays the same when the letter is delivered again.
func diedAgain(ctx context.Context, on session, tenantID uuid.UUID, letters []domain.DeadLetter) ([]domain.DeadLetter, error) {
	ids := make([]uuid.UUID, len(letters))
	for i := range letters {
		ids[i] = letters[i].ID
	}
	rows, err := on.Query(ctx, replayedLettersSQL, tenantID, postgres.UUIDs(ids))
	if err != nil {
		return nil, fmt.Errorf("find replayed letters: %w", err)
	}
	defer rows.Close()
	replayed := make(map[uuid.UUID]time.Time)
	for rows.Next() {
		var id uuid.UUID
		var at time.Time
		if err := rows.Scan(&id, &at); err != nil {
			return nil, fmt.Errorf("read a replayed letter: %w", err)
		}
		replayed[id] = at
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find replayed letters: %w", err)
	}
	var again []domain.DeadLetter
	for _, l := range letters {
		at, was := replayed[l.ID]
		switch {
		case !was:
			continue
		case l.DiedAt.IsZero(): // by somebody else, who says nothing
			l.ID = uuid.New()
		case l.DiedAt.Add(clockMargin).After(at):
			l.ID = uuid.NewSHA1(l.ID, []byte(l.DiedAt.UTC().Format(time.RFC3339Nano)))
		default:
			continue // what was replayed is delivered again
		}
		again = append(again, l)
	}
	return again, nil
}
