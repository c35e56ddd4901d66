package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

const printed = `
| Tenants | Ceiling | Batch | of the ceiling | Single | of the ceiling |
|:--------|--------:|------:|---------------:|-------:|---------------:|
| 1,000 | 41,679/s | 29,885/s | **0.72** (0.69 to 0.91) | 8,524/s | - |

Processor time.

| Tenants | What | Lanekeeper | Time of a commit |
|:--|--:|--:|--:|
| 1 | batch | 18 | 3.3 ms |
| 1 | single | 79 | 900 µs |
| 1 | ceiling | 0 | - |
`

func TestFiguresOfTables(t *testing.T) {
	t.Parallel()
	require.Equal(t, []figure{
		{"Throughput, 1,000: Ceiling", 41679, "41,679/s"},
		{"Throughput, 1,000: Batch", 29885, "29,885/s"},
		{"Throughput, 1,000: Batch of the ceiling", 0.72, "0.72 (0.69 to 0.91)"},
		{"Throughput, 1,000: Single", 8524, "8,524/s"},
		{"Processor time, 1, batch: Lanekeeper", 18, "18"},
		{"Processor time, 1, batch: Time of a commit", 0.0033, "3.3 ms"},
		{"Processor time, 1, single: Lanekeeper", 79, "79"},
		{"Processor time, 1, single: Time of a commit", 0.0009, "900 µs"},
		{"Processor time, 1, ceiling: Lanekeeper", 0, "0"},
	}, figures(printed))
}

func TestRatiosAreOfTheSameRound(t *testing.T) {
	t.Parallel()
	of := func(value float64, text string) []figure {
		return []figure{{"a", value, text}, {"zero", 0, "0"}}
	}
	pairs := []pair{
		{of(10, "10"), of(20, "20")},
		{of(100, "100"), of(110, "110")},
		{of(50, "50"), append(of(25, "25"), figure{"new", 1, "1"})},
	}
	require.Equal(t, `| Figure | Before | Now | Ratio | Lowest, highest |
|:--|--:|--:|--:|--:|
| a | 50 | 25 | 1.100 | 0.50, 2.00 |
`, table(pairs))
}
