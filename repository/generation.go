package repository

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/postgres"
)

// generation is that of this version's replicas. One that cannot run beside those
// of the version before is of a higher one, and its migrations may do what those
// before could not live with.
const generation = 1

const (
	// olderReplicaTTL is for how long a replica counts as running that was seen.
	olderReplicaTTL = 10 * time.Second
	// olderReplicaPatience is how long a replica is waited for that may have been
	// killed. It is a little longer than that counts.
	olderReplicaPatience = olderReplicaTTL + 2*time.Second
	olderReplicaPause    = 500 * time.Millisecond
)

// ErrOlderReplicas: replicas of an earlier generation run, so the schema cannot be
// changed.
var ErrOlderReplicas = errors.New("replicas of an earlier version are running")

// Of rows without the column there is no number.
const olderReplicasSQL = `
SELECT p.name, p.address, p.seen_at::text
FROM replicas p
WHERE coalesce((to_jsonb(p) ->> 'generation')::int, 0) < $2 AND ` + liveReplica + `
ORDER BY p.name`

// olderReplica is the row of a replica of an earlier generation.
type olderReplica struct{ name, address, seenAt string }

// awaitNoOlderReplicas returns nil when no replica of an earlier generation is
// running. One that is not seen again while it is watched has been killed. Else the
// error is an ErrOlderReplicas that names them.
func awaitNoOlderReplicas(ctx context.Context, db *sql.DB) error {
	watching, cancel := context.WithTimeout(ctx, olderReplicaPatience)
	defer cancel()
	first := make(map[string]string) // when each was seen as it was found, by name
	for {
		replicas, err := olderReplicas(ctx, db)
		if err != nil || len(replicas) == 0 {
			return err
		}
		alive := false
		for _, r := range replicas {
			seen, known := first[r.name]
			alive = alive || known && seen != r.seenAt
			if !known {
				first[r.name] = r.seenAt
			}
		}
		if !alive && backoff.Sleep(watching, olderReplicaPause) == nil {
			continue
		}
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("watch replicas of an earlier version: %w", err)
		}
		return olderReplicasError(replicas)
	}
}

func olderReplicasError(replicas []olderReplica) error {
	names := make([]string, len(replicas))
	for i, r := range replicas {
		names[i] = r.name
		if r.address != "" {
			names[i] += " (" + r.address + ")"
		}
	}
	return fmt.Errorf("%w, and this one cannot run beside them: %s; stop all of them, then start this version again (docs/operations.md, Upgrading)",
		ErrOlderReplicas, strings.Join(names, ", "))
}

// olderReplicas returns those that were seen lately.
func olderReplicas(ctx context.Context, db *sql.DB) ([]olderReplica, error) {
	rows, err := db.QueryContext(ctx, olderReplicasSQL, olderReplicaTTL, generation)
	if postgres.IsUndefinedTable(err) {
		return nil, nil // a new database, or one of before there were several replicas
	}
	if err != nil {
		return nil, fmt.Errorf("look for replicas of an earlier version: %w", err)
	}
	defer rows.Close()
	var replicas []olderReplica
	for rows.Next() {
		var r olderReplica
		if err := rows.Scan(&r.name, &r.address, &r.seenAt); err != nil {
			return nil, fmt.Errorf("look for replicas of an earlier version: %w", err)
		}
		replicas = append(replicas, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look for replicas of an earlier version: %w", err)
	}
	return replicas, nil
}
