package digits

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGrouped(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -999: "-999", 100_000: "100,000", 1_000_001: "1,000,001",
	} {
		require.Equal(t, want, Grouped(n))
	}
}
