package receiver

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/chaos/wait"
)

const atOnce = 10 * time.Second

func start(t *testing.T) *Receiver {
	t.Helper()
	r, err := Start(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	return r
}

// send delivers a message, and returns the status or 0.
func send(ctx context.Context, t *testing.T, e *Endpoint, seq string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, strings.NewReader(`{"a":1}`))
	if err != nil {
		t.Error(err)
		return 0
	}
	request.Header.Set("webhook-id", "m"+seq)
	request.Header.Set("lanekeeper-seq", seq)
	request.Header.Set("lanekeeper-ordering-key", "k")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0
	}
	if err := response.Body.Close(); err != nil {
		t.Error(err)
	}
	return response.StatusCode
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	require.NoError(t, wait.Until(t.Context(), atOnce, "it comes", func() error {
		if !ok() {
			return wait.ErrNotReady
		}
		return nil
	}))
}

func TestArrivals(t *testing.T) {
	t.Parallel()
	r := start(t)
	e := r.Add(RefusesFirst(2, Takes(0)))
	for i, want := range []int{204, 503, 204, 204} {
		require.Equal(t, want, send(t.Context(), t, e, []string{"1", "2", "2", "3"}[i]))
	}
	e.Answer(Refuses(0))
	require.Zero(t, send(t.Context(), t, e, "4"))
	arrivals := e.Arrivals()
	require.Len(t, arrivals, 5)
	for i, want := range []Arrival{{Seq: 1, Taken: true}, {Seq: 2}, {Seq: 2, Taken: true}, {Seq: 3, Taken: true}, {Seq: 4}} {
		require.Equal(t, want.Seq, arrivals[i].Seq)
		require.Equal(t, want.Taken, arrivals[i].Taken, i)
		require.Equal(t, "k", arrivals[i].Key)
		require.Equal(t, Hash([]byte(`{"a":1}`)), arrivals[i].Body)
	}
	n, last := e.Taken()
	require.Equal(t, 3, n)
	require.Equal(t, arrivals[4].At, last)
}

// Whose sender is gone when the answer comes has not been taken.
func TestSenderGone(t *testing.T) {
	t.Parallel()
	r := start(t)
	e := r.Add(func(ctx context.Context, _ *Arrival) int { <-ctx.Done(); return http.StatusNoContent })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 1)
	go func() { done <- send(ctx, t, e, "1") }()
	await(t, func() bool { now, _ := r.Busy(); return now == 1 })
	cancel()
	require.Zero(t, <-done)
	await(t, func() bool { now, _ := r.Busy(); return now == 0 })
	require.False(t, e.Arrivals()[0].Taken)
}

// What arrives above the limit is counted, once the limit holds.
func TestLimit(t *testing.T) {
	t.Parallel()
	r := start(t)
	e := r.Add(Hangs())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan int, 5)
	begin := func(n int) {
		go func() { done <- send(ctx, t, e, "1") }()
		await(t, func() bool { now, _ := r.Busy(); return now == n })
	}
	above := func() int { n, _ := e.Above(); return n }
	begin(1)
	begin(2)
	e.Limit(3, 0)
	begin(3)
	require.Zero(t, above())
	begin(4)
	require.Equal(t, 1, above())
	e.Limit(9, time.Hour)
	e.Limit(1, time.Hour)
	begin(5)
	require.Equal(t, 1, above(), "as many as before, until the limit holds")
	require.Equal(t, 5, e.Most())
	cancel()
	for range 5 {
		require.Zero(t, <-done)
	}
}
