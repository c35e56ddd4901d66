package repository

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"lanekeeper/pkg/devstack/devtest"
)

func TestMigrateUpDownUp(t *testing.T) {
	t.Parallel()
	m, err := NewMigrator(devtest.Postgres(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })

	before, err := m.Status(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, before)
	for _, step := range before {
		require.Zero(t, step.AppliedAt)
	}

	up, err := m.Up(t.Context())
	require.NoError(t, err)
	require.Len(t, up, len(before))
	require.Equal(t, before[0].Name, up[0].Name)

	after, err := m.Status(t.Context())
	require.NoError(t, err)
	for _, step := range after {
		require.NotZero(t, step.AppliedAt)
	}
	again, err := m.Up(t.Context())
	require.NoError(t, err)
	require.Empty(t, again)

	for range after {
		down, err := m.Down(t.Context())
		require.NoError(t, err)
		require.Len(t, down, 1)
	}
	none, err := m.Down(t.Context())
	require.NoError(t, err)
	require.Empty(t, none)
	up, err = m.Up(t.Context())
	require.NoError(t, err)
	require.Len(t, up, len(before))
}

func TestMigrateConcurrently(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	var g errgroup.Group
	for range 4 {
		g.Go(func() error { return Migrate(t.Context(), url) })
	}
	require.NoError(t, g.Wait())
}
