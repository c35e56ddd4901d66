package tracing_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"lanekeeper/pkg/tracing"
)

func TestContextsAsText(t *testing.T) {
	t.Parallel()
	const parent, state = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "vendor=1,other=2"
	ctx := tracing.Below(t.Context(), parent, state)
	gotParent, gotState := tracing.Carried(ctx)
	require.Equal(t, []string{parent, state}, []string{gotParent, gotState})
	require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", tracing.ID(ctx))
	require.True(t, trace.SpanContextFromContext(ctx).IsRemote())

	gotParent, gotState = tracing.Carried(tracing.Below(t.Context(), parent, "no state"))
	require.Equal(t, []string{parent, ""}, []string{gotParent, gotState}, "the trace does not depend on it")

	for _, wrong := range []string{"", "00-4bf9", parent[:3] + "g" + parent[4:], parent[:36] + "g" + parent[37:], parent[:53] + "0g", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"} {
		require.Equal(t, t.Context(), tracing.Below(t.Context(), wrong, state), wrong)
	}
	require.Empty(t, tracing.ID(t.Context()))
	gotParent, gotState = tracing.Carried(t.Context())
	require.Empty(t, gotParent+gotState)
}
