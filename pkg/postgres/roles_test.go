package postgres_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/pkg/postgres"
)

// A connection acts as its role from the beginning, with the settings of who logs in;
// where it cannot it is none, and the reason is told.
func TestConnectionsActAsARole(t *testing.T) {
	t.Parallel()
	url := devtest.Postgres(t)
	admin, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	role := `te"st ` + strings.ReplaceAll(uuid.NewString(), "-", "")[:16]
	_, err = admin.Exec(t.Context(), `CREATE ROLE `+postgres.QuoteName(role)+` NOLOGIN`)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		_, err := admin.Exec(ctx, `DROP ROLE `+postgres.QuoteName(role))
		require.NoError(t, err)
		require.NoError(t, admin.Close(ctx))
	})
	current := func(url, name string, cause error) (string, error) {
		pool, err := postgres.NewPool(t.Context(), url, postgres.PoolOptions{
			Name: "test", MaxConns: 1, Role: func(context.Context) (string, error) { return name, cause },
		})
		require.NoError(t, err)
		defer pool.Close()
		var user string
		err = pool.QueryRow(t.Context(), `SELECT current_user || ' ' || current_setting('session_replication_role')`).Scan(&user)
		return user, err
	}
	user, err := current(url, role, nil)
	require.NoError(t, err)
	require.Equal(t, role+" origin", user)
	user, err = current(url+"&session_replication_role=replica", role, nil)
	require.NoError(t, err)
	require.Equal(t, role+" replica", user, "which the role itself may not set")
	user, err = current(url, "", nil)
	require.NoError(t, err)
	require.Equal(t, admin.Config().User+" origin", user)

	_, err = current(url, "nobody", nil)
	require.Equal(t, postgres.ClassUnavailable, postgres.Classify(err))
	require.False(t, postgres.IsMisconfigured(err), "somebody may make it")
	require.Equal(t, `the server has no role "nobody"`, postgres.Explain(err))
	unknown := errors.New("not known yet")
	_, err = current(url, role, unknown)
	require.ErrorIs(t, err, unknown)
	require.Equal(t, postgres.ClassUnavailable, postgres.Classify(err))
}
