package domain_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestCheckIdempotencyKey(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"k", "a b", "~!@", strings.Repeat("x", 255)} {
		require.NoError(t, domain.CheckIdempotencyKey(key, "Idempotency-Key"), key)
	}
	for _, key := range []string{"", strings.Repeat("x", 256), "a\n", "\x00", "\x7f", "é", "\xff"} {
		require.Equal(t, []string{"Idempotency-Key"}, pointers(t, domain.CheckIdempotencyKey(key, "Idempotency-Key")), key)
	}
	require.ErrorIs(t, domain.IdempotencyMismatch(), domain.ErrInvalid)
}
