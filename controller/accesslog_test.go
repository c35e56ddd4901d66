package controller

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/controller/middleware"
	"lanekeeper/domain"
)

// logLine is a line of the access log.
type logLine struct {
	Level    string   `json:"level"`
	Message  string   `json:"msg"`
	Route    string   `json:"route"`
	Status   int      `json:"status"`
	Duration *float64 `json:"duration_ms"`
	OneIn    int      `json:"one_in"`
	Error    string   `json:"error"`
}

func (a *api) lines() (lines []logLine) {
	a.t.Helper()
	for text := range strings.Lines(a.logs.String()) {
		var line logLine
		require.NoError(a.t, json.Unmarshal([]byte(text), &line), text)
		if line.Message == "request" {
			lines = append(lines, line)
		}
	}
	return lines
}

func TestAccessLogLines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		lines middleware.RequestLines
		want  string // statuses, by their lines
	}{
		{middleware.RequestLines{}, "200 200 200 200 200 404 503 500"},
		{middleware.RequestLines{Which: "all", OneIn: 1}, "200 200 200 200 200 404 503 500"},
		{middleware.RequestLines{Which: "All", OneIn: 3}, "200 200 404 503 500"},
		{middleware.RequestLines{Which: "ERRORS"}, "404 503 500"},
		{middleware.RequestLines{Which: "none", OneIn: 1}, "503 500"},
	} {
		a := newAPI(t, func(o *Options) { o.Lines = tt.lines })
		for range 5 {
			require.Equal(t, http.StatusOK, a.do("GET", "/api/tenants", "").status)
		}
		a.do("GET", "/api/nothing", "")
		a.fakes.err = domain.New(domain.ErrUnavailable, "database_unavailable", "Away.")
		a.do("GET", "/api/tenants", "")
		a.fakes.err = domain.New("unheard of", "why", "For this reason.")
		a.do("GET", "/api/tenants", "")
		var statuses []string
		require.Eventually(t, func() bool { // a line is written when the answer was sent
			statuses = nil
			for _, line := range a.lines() {
				statuses = append(statuses, strconv.Itoa(line.Status))
			}
			return strings.Join(statuses, " ") == tt.want
		}, patience, 1, "%v: %v", tt.lines, tt.want)
		for _, line := range a.lines() {
			require.NotNil(t, line.Duration, "in milliseconds")
			require.GreaterOrEqual(t, *line.Duration, 0.0)
			require.Less(t, *line.Duration, 10_000.0)
			require.Equal(t, map[bool]int{true: 3}[tt.lines.OneIn == 3 && line.Status == 200], line.OneIn)
			switch line.Status {
			case 500:
				require.Equal(t, "ERROR", line.Level)
				require.Contains(t, line.Error, "For this reason", "nothing else says it")
			case 503:
				require.Equal(t, "WARN", line.Level)
			default:
				require.Equal(t, "INFO", line.Level)
			}
		}
	}
}

// Probes are not worth a line, whatever they say: that a server is away is logged where
// it is noticed.
func TestProbesAreLoggedAtDebug(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(o *Options) {
		o.Ready = func(context.Context) (string, bool, map[string]string) { return "unavailable", false, nil }
	})
	a.do("GET", "/healthz", "")
	a.do("GET", "/readyz", "")
	require.Eventually(t, func() bool { return len(a.lines()) == 2 }, patience, 1)
	for _, line := range a.lines() {
		require.Equal(t, "DEBUG", line.Level, line.Route)
	}
}
