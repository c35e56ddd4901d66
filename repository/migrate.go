package repository

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"lanekeeper/migrations"
	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/postgres"
)

// How often another migrating process is waited for, and how many times.
const (
	migrationLockSeconds = 1
	migrationLockTries   = 300
	// A step that would have to wait for readers and writers gives up soon, so
	// that they need not wait for it, and is tried again for as long as this.
	migrationPatience = time.Minute
	migrationPause    = time.Second
)

// Migration is one step of the schema.
type Migration struct {
	Version int64
	// Name is the name of its file.
	Name string
	// AppliedAt is when it was applied; zero when it is pending.
	AppliedAt time.Time
}

// Migrator changes the schema. Concurrent migrators, also of other processes,
// take turns by means of an advisory lock.
type Migrator struct {
	db       *sql.DB
	provider *goose.Provider
}

// NewMigrator returns a Migrator for the database at url, whose role must own
// the tables. It does not connect. The caller closes it.
func NewMigrator(url string) (*Migrator, error) {
	config, err := postgres.ParseConfig(url, postgres.PoolOptions{Name: "lanekeeper-migrate", LockTimeout: 2 * lockTimeout})
	if err != nil {
		return nil, fmt.Errorf("open the database for migration: %w", err)
	}
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(migrationLockSeconds, migrationLockTries))
	if err != nil {
		return nil, fmt.Errorf("make migration lock: %w", err)
	}
	db := stdlib.OpenDB(*config)
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS,
		goose.WithSessionLocker(locker), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read migrations: %w", err), db.Close())
	}
	return &Migrator{db: db, provider: provider}, nil
}

// Up applies all pending migrations and returns them. Those that others stand
// in the way of are tried again for a minute. The error is an ErrOlderReplicas, and
// nothing is applied, while replicas run that this version cannot run beside; one
// that may have been killed is waited for, some seconds.
func (m *Migrator) Up(ctx context.Context) ([]Migration, error) {
	if err := awaitNoOlderReplicas(ctx, m.db); err != nil {
		return nil, translate(err, "migrate up")
	}
	var steps []Migration
	patient, cancel := context.WithTimeout(ctx, migrationPatience)
	defer cancel()
	for {
		results, err := m.provider.Up(ctx)
		if partial, ok := errors.AsType[*goose.PartialError](err); ok {
			results = partial.Applied
		}
		steps = append(steps, applied(results)...)
		if err == nil {
			return steps, nil
		}
		if postgres.Classify(err) != postgres.ClassContended || backoff.Sleep(patient, migrationPause) != nil {
			return nil, translate(err, "migrate up")
		}
	}
}

// Down reverts the newest migration and returns it; with none left it returns
// nothing.
func (m *Migrator) Down(ctx context.Context) ([]Migration, error) {
	result, err := m.provider.Down(ctx)
	if errors.Is(err, goose.ErrNoNextVersion) {
		return nil, nil
	}
	if err != nil {
		return nil, translate(err, "migrate down")
	}
	return applied([]*goose.MigrationResult{result}), nil
}

// Status returns all migrations, oldest first.
func (m *Migrator) Status(ctx context.Context) ([]Migration, error) {
	states, err := m.provider.Status(ctx)
	if err != nil {
		return nil, translate(err, "read migration status")
	}
	all := make([]Migration, len(states))
	for i, state := range states {
		all[i] = Migration{Version: state.Source.Version, Name: filepath.Base(state.Source.Path), AppliedAt: state.AppliedAt}
	}
	return all, nil
}

// Close closes the connections.
func (m *Migrator) Close() error {
	if err := m.provider.Close(); err != nil {
		return fmt.Errorf("close migrator: %w", err)
	}
	return nil
}

// CheckConnection connects to each of the URLs once. The error is an
// ErrUnavailable, of which postgres.IsMisconfigured and postgres.Explain tell
// more: also that there is a pooler in between that shares sessions.
func CheckConnection(ctx context.Context, urls ...string) error {
	for _, url := range urls {
		if err := postgres.CheckPooling(ctx, url); err != nil {
			return unavailable(fmt.Errorf("connect to the database: %w", err))
		}
	}
	return nil
}

// Migrate applies all pending migrations to the database at url, as Migrator.Up
// does. The error is an ErrUnavailable when trying again makes sense.
func Migrate(ctx context.Context, url string) (err error) {
	m, err := NewMigrator(url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	_, err = m.Up(ctx)
	return err
}

func applied(results []*goose.MigrationResult) []Migration {
	steps := make([]Migration, 0, len(results))
	for _, r := range results {
		steps = append(steps, Migration{Version: r.Source.Version, Name: filepath.Base(r.Source.Path)})
	}
	return steps
}
