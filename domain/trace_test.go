package domain_test

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent  = "00-" + traceID + "-00f067aa0ba902b7-01"
)

func TestTraceContextsAreRead(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		parent, state string
		want          domain.TraceContext
		sampled       bool
	}{
		"sampled":             {parent: parent, want: parent, sampled: true},
		"with a state":        {parent: parent, state: "a=1,b=2", want: parent + " a=1,b=2", sampled: true},
		"not sampled":         {parent: parent[:53] + "00", want: domain.TraceContext(parent[:53] + "00")},
		"other flags":         {parent: parent[:53] + "02", want: domain.TraceContext(parent[:53] + "02")},
		"all flags":           {parent: parent[:53] + "ff", want: domain.TraceContext(parent[:53] + "ff"), sampled: true},
		"flags with a letter": {parent: parent[:53] + "0b", want: domain.TraceContext(parent[:53] + "0b"), sampled: true},
		"even letter":         {parent: parent[:53] + "0c", want: domain.TraceContext(parent[:53] + "0c")},
		"a later version":     {parent: "01" + parent[2:] + "-more", want: parent, sampled: true},
		"state too long":      {parent: parent, state: strings.Repeat("a", 513), want: parent, sampled: true},
		"state with controls": {parent: parent, state: "a=\x00", want: parent, sampled: true},
		"state not ASCII":     {parent: parent, state: "a=ü", want: parent, sampled: true},
		"state alone":         {state: "a=1"},
		"too short":           {parent: parent[:54]},
		"too long":            {parent: parent + "-"},
		"later but malformed": {parent: "01" + parent[2:] + "x"},
		"version ff":          {parent: "ff" + parent[2:]},
		"capital letters":     {parent: strings.ToUpper(parent)},
		"no hex":              {parent: "00-" + strings.Repeat("g", 32) + parent[35:]},
		"no separator":        {parent: "00-" + traceID + "_" + parent[36:]},
		"zero trace":          {parent: "00-" + strings.Repeat("0", 32) + parent[35:]},
		"zero span":           {parent: "00-" + traceID + "-" + strings.Repeat("0", 16) + "-01"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := domain.NewTraceContext(test.parent, test.state)
			require.Equal(t, test.want, got)
			require.Equal(t, test.sampled, got.Sampled())
			if got == "" {
				require.Empty(t, got.TraceID()+got.Parent()+got.State())
				return
			}
			require.Equal(t, traceID, got.TraceID())
			require.Equal(t, got, domain.NewTraceContext(got.Parent(), got.State()), "it is read as it is written")
		})
	}
}

// What the publisher says in a message's headers comes before what the service knows.
func TestWhichTraceAMessageBelongsTo(t *testing.T) {
	t.Parallel()
	carried := domain.CarriedTrace(map[string]any{domain.HeaderTraceParent: parent, domain.HeaderTraceState: "a=1"})
	require.Equal(t, domain.TraceContext(parent+" a=1"), carried)
	require.Empty(t, domain.CarriedTrace(map[string]any{domain.HeaderTraceParent: 7}))
	require.Empty(t, domain.CarriedTrace(map[string]any{"traceparent": parent}), "that is the message's own")

	m := domain.Message{Trace: carried}
	require.Equal(t, carried, m.TraceContext())
	other := "00-" + strings.Repeat("1", 32) + parent[35:]
	m.Headers = map[string]string{"traceparent": other}
	require.Equal(t, domain.TraceContext(other), m.TraceContext())
	m.Headers["traceparent"] = "something else"
	require.Equal(t, carried, m.TraceContext())
}

func TestUnrecordedTraces(t *testing.T) {
	t.Parallel()
	one, other := uuid.Must(uuid.NewV7()), uuid.Must(uuid.NewV7())
	got := domain.UnrecordedTrace(one)
	require.Equal(t, got, domain.NewTraceContext(string(got), ""), "is a traceparent")
	require.False(t, got.Sampled())
	require.Equal(t, got, domain.UnrecordedTrace(one))
	require.NotEqual(t, got.TraceID(), domain.UnrecordedTrace(other).TraceID())
}
