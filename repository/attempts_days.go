package repository

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"lanekeeper/pkg/backoff"
)

const (
	// attemptsTable is the table with a partition for each day.
	attemptsTable = "attempts"
	// attemptDaysAhead is for how many days after today there are partitions.
	attemptDaysAhead = 3
	// missingDaysTimeout is how long a settlement, whose attempts are lost, sees to
	// it that the next ones are not.
	missingDaysTimeout = 2 * time.Second
	// dropLockTimeout is how long those who settle have to wait behind a partition
	// that is about to be dropped, at a time; dropTries is how often that is tried.
	dropLockTimeout = 50 * time.Millisecond
	dropTries       = 10
	dropPause       = 200 * time.Millisecond
)

const (
	todaySQL = `SELECT (now() AT TIME ZONE 'UTC')::date`

	listAttemptDaysSQL = `
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'attempts'::regclass ORDER BY c.relname`
)

// attemptDay is the partition of a day.
type attemptDay struct{ begin time.Time }

// attemptDayLayout is what follows "attempts_" in the name of a partition.
const attemptDayLayout = "20060102"

func (d attemptDay) name() string { return attemptsTable + "_" + d.begin.Format(attemptDayLayout) }

// parseAttemptDay understands the names of partitions.
func parseAttemptDay(name string) (attemptDay, bool) {
	begin, err := time.Parse(attemptDayLayout, strings.TrimPrefix(name, attemptsTable+"_"))
	return attemptDay{begin}, err == nil
}

// KeepAttemptDays implements domain.AttemptRepository. Replicas that do it at the same
// time wait for each other. A partition that others keep locked is left for a later
// call, so that those who settle do not wait.
func (s *Store) KeepAttemptDays(ctx context.Context, keep int) (dropped int, err error) {
	err = s.withAttemptDays(ctx, func(conn *pgxpool.Conn, today time.Time) error {
		if err := s.makeAttemptDays(ctx, conn, today, keep); err != nil {
			return err
		}
		names, err := attemptDays(ctx, conn)
		if err != nil {
			return err
		}
		for _, name := range names {
			day, ok := parseAttemptDay(name)
			if !ok || !day.begin.Before(today.AddDate(0, 0, -keep)) {
				continue
			}
			gone, err := dropAttemptDay(ctx, conn, day)
			if err != nil {
				return err
			}
			if gone {
				dropped++
			}
		}
		return nil
	})
	return dropped, translate(err, "keep the days of attempts")
}

// makeMissingAttemptDays makes the partitions without which attempts were lost. When
// that is not possible the next ones are lost, too.
func (s *Store) makeMissingAttemptDays(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, missingDaysTimeout)
	defer cancel()
	_ = s.withAttemptDays(ctx, func(conn *pgxpool.Conn, today time.Time) error {
		return s.makeAttemptDays(ctx, conn, today, 1)
	})
}

// withAttemptDays runs fn alone in the fleet, on a connection that may change
// partitions, with the day that it is.
func (s *Store) withAttemptDays(ctx context.Context, fn func(*pgxpool.Conn, time.Time) error) error {
	key := lockKey("attempts", uuid.Nil)
	conn, err := acquireLock(ctx, s.ddl, key)
	if err != nil {
		return err
	}
	defer releaseLock(ctx, conn, key)
	var today time.Time
	if err := conn.QueryRow(ctx, todaySQL).Scan(&today); err != nil {
		return fmt.Errorf("ask for the day: %w", err)
	}
	return fn(conn, today)
}

func attemptDays(ctx context.Context, on session) ([]string, error) {
	rows, err := on.Query(ctx, listAttemptDaysSQL)
	if err != nil {
		return nil, fmt.Errorf("list days: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list days: %w", err)
	}
	return names, nil
}

// makeAttemptDays makes the partitions that there should be and are not, each in a
// transaction: of yesterday, because an attempt that is recorded now may have begun
// then, of today and the days ahead.
func (s *Store) makeAttemptDays(ctx context.Context, conn *pgxpool.Conn, today time.Time, keep int) error {
	names, err := attemptDays(ctx, conn)
	if err != nil {
		return err
	}
	there := make(map[string]bool, len(names))
	for _, name := range names {
		there[name] = true
	}
	for ahead := -min(1, keep); ahead <= attemptDaysAhead; ahead++ {
		day := attemptDay{today.AddDate(0, 0, ahead)}
		if there[day.name()] {
			continue
		}
		if err := s.makeAttemptDay(ctx, conn, day); err != nil {
			return err
		}
	}
	return nil
}

// makeAttemptDay makes the table first and attaches it then, which no reader or writer
// of attempts waits for.
func (s *Store) makeAttemptDay(ctx context.Context, conn *pgxpool.Conn, day attemptDay) error {
	table := pgx.Identifier{day.name()}.Sanitize()
	bound := func(t time.Time) string { return "'" + t.Format("2006-01-02 00:00:00+00") + "'" }
	return inTransaction(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS `+table+` (LIKE attempts INCLUDING ALL EXCLUDING COMMENTS)`); err != nil {
			return fmt.Errorf("create table: %w", err)
		}
		if err := s.closePartition(ctx, tx, table); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `ALTER TABLE attempts ATTACH PARTITION `+table+
			` FOR VALUES FROM (`+bound(day.begin)+`) TO (`+bound(day.begin.AddDate(0, 0, 1))+`)`)
		if err != nil {
			return fmt.Errorf("attach: %w", err)
		}
		return nil
	})
}

// dropAttemptDay reports whether the partition is gone. Dropping needs attempts to be
// used by nobody, and whoever comes meanwhile waits behind it: so it is given up soon,
// and tried a few times.
func dropAttemptDay(ctx context.Context, conn *pgxpool.Conn, day attemptDay) (gone bool, err error) {
	for range dropTries {
		err := execWithin(ctx, conn, "lock_timeout", dropLockTimeout, `DROP TABLE IF EXISTS `+pgx.Identifier{day.name()}.Sanitize())
		if !errors.Is(err, errBlocked) {
			return err == nil, err
		}
		if err := backoff.Sleep(ctx, dropPause); err != nil {
			return false, err //nolint:wrapcheck // the error of ctx
		}
	}
	return false, nil
}

// deleteAttemptsSQL deletes a chunk of a tenant's attempts of a day, which are in one
// partition.
const deleteAttemptsSQL = `
DELETE FROM attempts WHERE tenant_id = $1 AND at >= $2 AND at < $3 AND ctid = ANY (ARRAY(
    SELECT ctid FROM attempts WHERE tenant_id = $1 AND at >= $2 AND at < $3 LIMIT $4
))`

// deleteAttempts deletes a tenant's attempts in chunks, each in a transaction of its
// own.
func (s *Store) deleteAttempts(ctx context.Context, tenantID uuid.UUID) error {
	return s.WithTenant(ctx, queryAccess, []uuid.UUID{tenantID}, func(on session) error {
		names, err := attemptDays(ctx, on)
		if err != nil {
			return err
		}
		for _, name := range names {
			day, ok := parseAttemptDay(name)
			for left := ok; left; {
				tag, err := on.Exec(ctx, deleteAttemptsSQL, tenantID, day.begin, day.begin.AddDate(0, 0, 1), eraseChunk)
				if err != nil {
					return fmt.Errorf("delete attempts: %w", err)
				}
				left = tag.RowsAffected() == eraseChunk
			}
		}
		return nil
	})
}
