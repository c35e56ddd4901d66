package repository

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"lanekeeper/domain"
)

// liveReplica is the condition of a row of replicas p that was renewed within
// the time of parameter $1. One from the future was written before the clock
// was set back, and says as little as an old one.
const liveReplica = `p.seen_at > now() - $1::interval AND p.seen_at < now() + $1::interval`

// A row from the future is made an old one, or its replica would seem to come
// alive when that time has come. The parts of the statement do not see each
// other's changes, so the replica itself is named apart from the rest.
const heartbeatSQL = `
WITH heartbeat AS (
    INSERT INTO replicas (name, address, reaches_broker, generation, version) VALUES ($2, $3, $4, $5, $6)
    ON CONFLICT (name) DO UPDATE SET address = excluded.address, reaches_broker = excluded.reaches_broker, version = excluded.version, seen_at = now()
), doubtful AS (
    UPDATE replicas SET seen_at = now() - $1::interval WHERE seen_at >= now() + interval '1 s' AND name <> $2 AND address <> $3
), replaced AS (
    DELETE FROM replicas WHERE address = $3 AND address <> '' AND name <> $2
)
SELECT p.name FROM replicas p WHERE ` + liveReplica + ` AND p.name <> $2 AND (p.address <> $3 OR p.address = '')
UNION ALL
SELECT $2
ORDER BY 1`

// Heartbeat implements domain.ReplicaRepository. A replica without an address takes
// no other's place.
func (s *Store) Heartbeat(ctx context.Context, r domain.Replica, ttl time.Duration) ([]string, error) {
	return s.replicaNames(ctx, "record heartbeat", heartbeatSQL, ttl, r.Name, r.Address, r.ReachesBroker, generation, r.Version)
}

const liveReplicasSQL = `SELECT p.name FROM replicas p WHERE ` + liveReplica + ` ORDER BY p.name`

// LiveReplicas implements domain.ReplicaRepository.
func (s *Store) LiveReplicas(ctx context.Context, ttl time.Duration) ([]string, error) {
	return s.replicaNames(ctx, "list replicas", liveReplicasSQL, ttl)
}

// replicaNames runs a query for names. Verb says what is being done.
func (s *Store) replicaNames(ctx context.Context, verb, query string, args ...any) ([]string, error) {
	rows, err := s.fleet.Query(ctx, query, args...)
	if err != nil {
		return nil, translate(err, verb)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, translate(err, verb)
	}
	return names, nil
}

const othersReachBrokerSQL = `SELECT EXISTS (SELECT FROM replicas p WHERE p.reaches_broker AND p.name <> $2 AND ` + liveReplica + `)`

// OthersReachBroker implements domain.ReplicaRepository.
func (s *Store) OthersReachBroker(ctx context.Context, name string, ttl time.Duration) (bool, error) {
	var others bool
	if err := s.fleet.QueryRow(ctx, othersReachBrokerSQL, ttl, name).Scan(&others); err != nil {
		return false, translate(err, "ask which replicas reach the broker")
	}
	return others, nil
}

const removeReplicaSQL = `
WITH reports AS (
    DELETE FROM consumer_reports WHERE replica = $1
)
DELETE FROM replicas WHERE name = $1`

// RemoveReplica implements domain.ReplicaRepository. Removing one that is not
// there is no error.
func (s *Store) RemoveReplica(ctx context.Context, name string) error {
	_, err := s.fleet.Exec(ctx, removeReplicaSQL, name)
	return translate(err, "remove replica")
}

const databaseTimeSQL = `SELECT clock_timestamp()`

// DatabaseTime implements domain.DatabaseClock.
func (s *Store) DatabaseTime(ctx context.Context) (time.Time, error) {
	var at time.Time
	if err := s.fleet.QueryRow(ctx, databaseTimeSQL).Scan(&at); err != nil {
		return time.Time{}, translate(err, "ask for the time")
	}
	return at, nil
}

// Reports outlive their replica when another one took its place.
const deleteDeadReplicasSQL = `
WITH dead AS (
    DELETE FROM replicas WHERE seen_at <= now() - $1::interval RETURNING name
), reports AS (
    DELETE FROM consumer_reports r
    WHERE r.replica IN (SELECT name FROM dead)
       OR r.reported_at <= now() - $1::interval AND NOT EXISTS (SELECT FROM replicas p WHERE p.name = r.replica)
)
SELECT count(*) FROM dead`

// DeleteDeadReplicas implements domain.ReplicaRepository.
func (s *Store) DeleteDeadReplicas(ctx context.Context, age time.Duration) (int, error) {
	var n int
	if err := s.fleet.QueryRow(ctx, deleteDeadReplicasSQL, age).Scan(&n); err != nil {
		return 0, translate(err, "delete dead replicas")
	}
	return n, nil
}
