package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == bareCommand { // as measurements start this program
		main()
		return
	}
	os.Exit(m.Run())
}

// TestRun runs everything once, with few messages, on servers of others.
//
//nolint:paralleltest // sets the environment
func TestRun(t *testing.T) {
	t.Setenv("DATABASE_URL", devtest.Postgres(t))
	t.Setenv("RABBITMQ_URL", devtest.RabbitMQ(t))
	dir := t.TempDir()
	var out bytes.Buffer
	err := run(t.Context(), []string{
		"-tenants=1,3", "-messages=600", "-singles=60", "-batch=100", "-repeat=2", "-open=200ms", "-rate=200", "-stream-rate=100", "-crowd=10", "-idle=100ms",
		"-dir=" + dir, "-profile=" + filepath.Join(dir, "profiles"), "-out=" + filepath.Join(dir, "page.md"),
	}, &out, t.Output())
	require.NoError(t, err)
	// Two rounds of batches and singles for each number, of the open loop, and of
	// streams; and of deliveries for each number: a backlog, batches with and without
	// endpoints, singles, and an open loop.
	const deliveries = 2 * 2 * (3*600 + 60 + 20)
	require.Contains(t, out.String(), grouped(2840+deliveries)+" rows checked")
	page, err := os.ReadFile(filepath.Join(dir, "page.md"))
	require.NoError(t, err)
	require.Contains(t, string(page), "-tenants=1,3")
	require.NotContains(t, string(page), dir)
	require.NotContains(t, string(page), "%!")
	left, err := filepath.Glob(filepath.Join(dir, "lanekeeper-bench-*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, arguments := range [][]string{
		{"-tenants=0"},
		{"-tenants=10,1"},
		{"-tenants=x"},
		{"-tenants=10", "-messages=9"},
		{"-singles=5"},
		{"-batch=1001"},
		{"-clients=0"},
		{"-repeat=0"},
		{"-rate=0"},
		{"-crowd=-1"},
		{"more"},
	} {
		_, err := parse(arguments, t.Output())
		require.ErrorIs(t, err, errUsage, "%v", arguments)
	}
}

func TestPayload(t *testing.T) {
	t.Parallel()
	require.Len(t, payload(), payloadSize)
	require.True(t, json.Valid(payload()))
	_, body, _ := bytes.Cut(newCall("127.0.0.1:1", 3).bytes, []byte("\r\n\r\n"))
	var batch struct {
		Messages []struct{ Payload json.RawMessage }
	}
	require.NoError(t, json.Unmarshal(body, &batch))
	require.Len(t, batch.Messages, 3)
	require.Equal(t, payload(), []byte(batch.Messages[2].Payload))
}

func TestMedian(t *testing.T) {
	t.Parallel()
	same := func(f float64) float64 { return f }
	require.InDelta(t, 0, median(nil, same), 0)
	require.InDelta(t, 2, median([]float64{3, 1, 2}, same), 0)
	require.InDelta(t, 2.5, median([]float64{4, 1, 3, 2}, same), 0)
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var sorted []time.Duration
	for i := range 100 {
		sorted = append(sorted, time.Duration(i+1))
	}
	require.Equal(t, time.Duration(50), quantile(sorted, 0.5))
	require.Equal(t, time.Duration(99), quantile(sorted, 0.99))
	require.Equal(t, time.Duration(100), quantile(sorted, 1))
	require.Equal(t, time.Duration(1), quantile(sorted[:1], 0.99))
}

func TestHistogram(t *testing.T) {
	t.Parallel()
	bounds := []float64{0.1, 0.2, math.Inf(1)}
	before := histogram{bounds: bounds, counts: []float64{5, 5, 5}}
	after := histogram{bounds: bounds, counts: []float64{55, 105, 105}}
	require.Equal(t, 150*time.Millisecond, after.since(before).quantile(0.75).Round(time.Microsecond))
	require.Zero(t, after.since(after).quantile(0.99))
	require.Zero(t, histogram{}.quantile(0.99))
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	const text = `# HELP lanekeeper_store_seconds x
lanekeeper_end_to_end_seconds_bucket{le="0.5"} 3
lanekeeper_end_to_end_seconds_bucket{le="+Inf"} 4
lanekeeper_store_batch_rows_sum 1000
lanekeeper_store_seconds_sum 1.5
lanekeeper_store_seconds_count 10
`
	require.Equal(t, commits{number: 10, rows: 1000, seconds: 1.5}, metrics(text).commits())
	require.Equal(t, histogram{bounds: []float64{0.5, math.Inf(1)}, counts: []float64{3, 4}}, metrics(text).endToEnd())
}

func TestShare(t *testing.T) {
	t.Parallel()
	require.Equal(t, []int{4, 3, 3}, []int{share(10, 3, 0), share(10, 3, 1), share(10, 3, 2)})
	require.Equal(t, 0, share(1, 3, 2))
}

func TestParseStat(t *testing.T) {
	t.Parallel()
	pid, p, ok := parseStat("42 (a (b) c) S 7 42 42 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 1 0 5")
	require.True(t, ok)
	require.Equal(t, 42, pid)
	require.Equal(t, program{parent: 7, name: "a (b) c", spent: 3 * time.Second}, p)
	_, _, ok = parseStat("nonsense")
	require.False(t, ok)
}

func TestSince(t *testing.T) {
	t.Parallel()
	own := os.Getpid()
	before := programs{own: {spent: 1}, 2000001: {name: "postgres", parent: own, spent: 10}, 2000009: {name: "beam.smp", spent: 99}}
	after := programs{
		own: {spent: 3}, 2000001: {name: "postgres", parent: own, spent: 15}, 2000002: {name: "postgres", parent: 2000001, spent: 7},
		2000003: {name: "postgres", parent: 1, spent: 100}, 2000004: {name: "lanekeeper", parent: own, spent: 20},
	}
	require.Equal(t, cpuTimes{generator: 2, service: 20, postgres: 12}, after.since(before, 2000004, true))
	require.Equal(t, cpuTimes{generator: 2, service: 20, postgres: 112}, after.since(before, 2000004, false))
}

func TestGrouped(t *testing.T) {
	t.Parallel()
	require.Equal(t, "0", grouped(0.4))
	require.Equal(t, "999", grouped(999))
	require.Equal(t, "1,234,567", grouped(1234567))
}
