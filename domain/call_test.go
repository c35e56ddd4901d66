package domain_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// A Call carries what the contexts do that are made one by one, and what is nearer
// counts.
func TestCall(t *testing.T) {
	t.Parallel()
	first, second := uuid.New(), uuid.New()
	outer := domain.WithOwner(domain.WithTenantID(t.Context(), first), "outer")
	call := domain.NewCall(outer, "r")
	ctx, cancel := context.WithCancel(call)
	defer cancel()

	require.Equal(t, "r", domain.RequestID(ctx))
	require.Equal(t, "outer", domain.Owner(ctx), "nothing was said here")
	id, ok := domain.TenantID(ctx)
	require.True(t, ok)
	require.Equal(t, first, id)
	_, ok = domain.ActorOf(ctx)
	require.False(t, ok)

	call.CountTowards(uuid.Nil, "192.0.2.1")
	require.Equal(t, "address 192.0.2.1", domain.Owner(ctx))
	call.CountTowards(second, "192.0.2.1")
	require.Equal(t, "user "+second.String(), domain.Owner(ctx))
	call.SetTenant(second)
	id, ok = domain.TenantID(ctx)
	require.True(t, ok)
	require.Equal(t, second, id)
	call.SetActor(domain.Actor{Kind: domain.ActorKey, KeyID: first})
	actor, ok := domain.ActorOf(ctx)
	require.True(t, ok)
	require.Equal(t, first, actor.KeyID)

	inner := domain.WithActor(domain.WithTenantID(domain.NewCall(ctx, "inner"), first), domain.Actor{Kind: domain.ActorCommand})
	require.Equal(t, "inner", domain.RequestID(inner))
	id, _ = domain.TenantID(inner)
	require.Equal(t, first, id)
	actor, _ = domain.ActorOf(inner)
	require.Equal(t, domain.ActorCommand, actor.Kind)
	require.Equal(t, "user "+second.String(), domain.Owner(inner))
}
