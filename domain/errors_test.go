package domain_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestErrors(t *testing.T) {
	t.Parallel()
	cause := errors.New("secret detail")
	err := domain.Wrap(cause, domain.ErrUnavailable, "broker_unavailable", "The broker is away.").After(2 * time.Second)
	wrapped := fmt.Errorf("publish: %w", err)

	require.ErrorIs(t, wrapped, domain.ErrUnavailable)
	require.NotErrorIs(t, wrapped, domain.ErrConflict)
	require.ErrorIs(t, wrapped, cause)
	require.Equal(t, "broker_unavailable", domain.CodeOf(wrapped))
	require.Equal(t, "publish: broker_unavailable: The broker is away.: secret detail", wrapped.Error())
	require.NotContains(t, err.Message, "secret", "callers see the message only")
	require.Equal(t, 2*time.Second, err.RetryAfter)

	outer := domain.Wrap(err, domain.ErrConflict, "outer", "Outer.")
	require.Equal(t, "outer", domain.CodeOf(outer))
	require.ErrorIs(t, outer, domain.ErrConflict)
	require.ErrorIs(t, outer, domain.ErrUnavailable, "the cause's kind is still in the chain")

	missing := domain.New(domain.ErrUnavailable, "queue_missing", "No queue.").Because(domain.ErrQueueMissing)
	for _, kind := range []domain.Kind{domain.ErrUnavailable, domain.ErrQueueMissing} {
		require.ErrorIs(t, fmt.Errorf("publish: %w", missing), kind)
	}
	require.NotErrorIs(t, missing, domain.ErrNoCapacity)
	require.NotErrorIs(t, err, domain.ErrQueueMissing)
	require.NotErrorIs(t, err, domain.Kind(""))

	require.Empty(t, domain.CodeOf(cause))
	require.Empty(t, domain.CodeOf(nil))
}

func TestFieldErrors(t *testing.T) {
	t.Parallel()
	err := domain.WithFields(domain.FieldError{Pointer: "/a", Message: "is bad"}, domain.FieldError{Pointer: "/b", Message: "too"})
	require.ErrorIs(t, err, domain.ErrInvalid)
	require.Equal(t, "invalid_fields: Some fields are not valid. [/a: is bad] [/b: too]", err.Error())
}

func TestContextValues(t *testing.T) {
	t.Parallel()
	require.Empty(t, domain.RequestID(t.Context()))
	_, ok := domain.TenantID(t.Context())
	require.False(t, ok)
	id := uuid.New()
	ctx := domain.WithTenantID(domain.NewCall(t.Context(), "r"), id)
	require.Equal(t, "r", domain.RequestID(ctx))
	got, ok := domain.TenantID(ctx)
	require.True(t, ok)
	require.Equal(t, id, got)
}
