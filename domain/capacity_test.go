package domain_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestFilesOfTheBroker(t *testing.T) {
	t.Parallel()
	usual := domain.Footprint{QuorumPerTenant: 1, ConnectionsPerReplica: 5, TenantsPerConnection: 500}
	for name, test := range map[string]struct {
		footprint         domain.Footprint
		tenants, replicas int
		want              int
	}{
		"nothing":       {want: 1000},
		"no tenants":    {usual, 0, 1, 1000 + 5},
		"one":           {usual, 1, 1, 1000 + 3*1 + 5 + 1},
		"a fleet":       {usual, 5000, 3, 1000 + 3*5000 + 15 + 10},
		"one more":      {usual, 501, 1, 1000 + 3*501 + 5 + 2},
		"quorum twice":  {domain.Footprint{QuorumPerTenant: 2}, 100, 1, 1000 + 600},
		"classic alone": {domain.Footprint{TenantsPerConnection: 500}, 100, 1, 1000 + 1},
	} {
		require.Equal(t, test.want, test.footprint.Files(test.tenants, test.replicas), name)
	}
	// What the documentation says: 5,000 tenants fit in 20,000 files.
	require.False(t, domain.FileUse{Need: usual.Files(5000, 3), Limit: 20_000}.NearlyFull())
}

func TestTheBrokerIsFullBeforeItsLastFile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		need, limit      int
		nearly, entirely bool
	}{
		{0, 0, false, false},
		{1_000_000, 0, false, false}, // unknown
		{899, 1000, false, false},
		{900, 1000, true, false},
		{950, 1000, true, false},
		{951, 1000, true, true},
		{5000, 1000, true, true},
	} {
		use := domain.FileUse{Need: test.need, Limit: test.limit}
		require.Equal(t, test.nearly, use.NearlyFull(), use)
		require.Equal(t, test.entirely, use.Full(), use)
	}
}
