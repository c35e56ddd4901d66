package repository

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

var _ domain.LoginFailureRepository = (*Store)(nil)

const loginFailuresSQL = `
SELECT coalesce(greatest(f.until - now(), interval '0'), interval '0')
FROM unnest($1::bytea[]) WITH ORDINALITY AS k (key, n) LEFT JOIN login_failures f ON f.key = k.key
ORDER BY k.n`

// LoginFailures implements domain.LoginFailureRepository.
func (s *Store) LoginFailures(ctx context.Context, keys [][]byte) ([]time.Duration, error) {
	rows, err := s.logins.Query(ctx, loginFailuresSQL, keys)
	if err != nil {
		return nil, translate(err, "count failed logins")
	}
	counters, err := pgx.CollectRows(rows, pgx.RowTo[time.Duration])
	return counters, translate(err, "count failed logins")
}

// addLoginFailuresSQL locks the counters in the order of their keys, as
// forgiveLoginFailuresSQL does.
const addLoginFailuresSQL = `
INSERT INTO login_failures AS f (key, until)
SELECT key, now() + step FROM unnest($1::bytea[], $2::interval[]) AS added (key, step) ORDER BY key
ON CONFLICT (key) DO UPDATE SET until = least(
    greatest(f.until, now()) + (excluded.until - now()),
    now() + (SELECT most FROM unnest($1::bytea[], $3::interval[]) AS bound (key, most) WHERE bound.key = excluded.key)
)
RETURNING key, until - now()`

// AddLoginFailures implements domain.LoginFailureRepository.
func (s *Store) AddLoginFailures(ctx context.Context, failures []domain.LoginFailure) ([]time.Duration, error) {
	keys, steps, most := columnsOf(failures)
	rows, err := s.logins.Query(ctx, addLoginFailuresSQL, keys, steps, most)
	if err != nil {
		return nil, translate(err, "add failed logins")
	}
	counters := make(map[string]time.Duration, len(failures))
	var key []byte
	var counter time.Duration
	_, err = pgx.ForEachRow(rows, []any{&key, &counter}, func() error {
		counters[string(key)] = counter
		return nil
	})
	if err != nil {
		return nil, translate(err, "add failed logins")
	}
	inOrder := make([]time.Duration, len(failures))
	for i := range failures {
		var ok bool
		if inOrder[i], ok = counters[string(failures[i].Key)]; !ok {
			return nil, fmt.Errorf("add failed logins: %d of %d counters came back", len(counters), len(failures))
		}
	}
	return inOrder, nil
}

const forgiveLoginFailuresSQL = `
WITH forgiven AS MATERIALIZED (
    SELECT f.key, added.step
    FROM login_failures f JOIN unnest($1::bytea[], $2::interval[]) AS added (key, step) ON f.key = added.key
    ORDER BY f.key FOR UPDATE OF f
)
UPDATE login_failures f SET until = f.until - forgiven.step FROM forgiven WHERE f.key = forgiven.key`

// ForgiveLoginFailures implements domain.LoginFailureRepository.
func (s *Store) ForgiveLoginFailures(ctx context.Context, failures []domain.LoginFailure) error {
	keys, steps, _ := columnsOf(failures)
	_, err := s.logins.Exec(ctx, forgiveLoginFailuresSQL, keys, steps)
	return translate(err, "forgive failed logins")
}

const deleteForgottenLoginFailuresSQL = `
DELETE FROM login_failures
WHERE ctid = ANY (ARRAY(SELECT ctid FROM login_failures WHERE until <= now() LIMIT $1 FOR UPDATE SKIP LOCKED))`

// DeleteForgottenLoginFailures implements domain.LoginFailureRepository.
func (s *Store) DeleteForgottenLoginFailures(ctx context.Context, limit int) (int, error) {
	return s.deleteSome(ctx, "delete forgotten login failures", deleteForgottenLoginFailuresSQL, max(0, limit))
}

func columnsOf(failures []domain.LoginFailure) (keys [][]byte, steps, most []time.Duration) {
	for i := range failures {
		keys = append(keys, failures[i].Key)
		steps = append(steps, failures[i].Step)
		most = append(most, failures[i].Most)
	}
	return keys, steps, most
}
