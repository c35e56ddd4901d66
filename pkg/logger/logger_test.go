package logger_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/logger"
)

type key struct{}

func fromContext(ctx context.Context) []slog.Attr {
	if id, ok := ctx.Value(key{}).(string); ok {
		return []slog.Attr{slog.String("request_id", id)}
	}
	return nil
}

func TestContextAttributes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := logger.New(&out, logger.Options{Format: logger.FormatJSON, FromContext: fromContext})
	require.NoError(t, err)
	ctx := context.WithValue(t.Context(), key{}, "r-1")

	log.With(slog.String("component", "api")).InfoContext(ctx, "hello", slog.Int("n", 1))
	record := decode(t, &out)
	require.Equal(t, "r-1", record["request_id"])
	require.Equal(t, "api", record["component"])
	require.InEpsilon(t, 1, record["n"], 0)

	log.With(slog.Int("a", 1)).WithGroup("g").With(slog.Int("b", 2)).WithGroup("h").InfoContext(ctx, "hello", slog.Int("c", 3))
	record = decode(t, &out)
	require.Equal(t, "r-1", record["request_id"], "outside of the groups")
	require.Equal(t, map[string]any{"b": 2.0, "h": map[string]any{"c": 3.0}}, record["g"])

	log.Info("no context")
	require.NotContains(t, decode(t, &out), "request_id")
}

func TestTextIsReadable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := logger.New(&out, logger.Options{Level: "warn", FromContext: fromContext})
	require.NoError(t, err)
	log.Info("not this")
	log.WarnContext(context.WithValue(t.Context(), key{}, "r-1"), "broker away", slog.Duration("for", time.Second))
	require.Regexp(t, `^time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=WARN msg="broker away" for=1s request_id=r-1\n$`, out.String())
}

func TestUnknownOptions(t *testing.T) {
	t.Parallel()
	_, err := logger.New(nil, logger.Options{Level: "loud"})
	require.ErrorContains(t, err, "loud")
	_, err = logger.New(nil, logger.Options{Format: "xml"})
	require.ErrorContains(t, err, "xml")
}

// The handler keeps to what log/slog asks of handlers.
func TestHandlerConformance(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		log, err := logger.New(&out, logger.Options{Format: logger.FormatJSON, FromContext: fromContext})
		require.NoError(t, err)
		return log.Handler()
	}, func(t *testing.T) map[string]any { return decode(t, &out) })
}

func decode(t *testing.T, out *bytes.Buffer) map[string]any {
	t.Helper()
	var record map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &record), out.String())
	out.Reset()
	return record
}

// Times read the same in text and in JSON, and say their unit.
func TestMilliseconds(t *testing.T) {
	t.Parallel()
	for format, want := range map[string]string{"TEXT": "wait_ms=1234.567", "Json": `"wait_ms":1234.567`} {
		var out bytes.Buffer
		log, err := logger.New(&out, logger.Options{Format: format, Level: "INFO"})
		require.NoError(t, err)
		log.Info("waited", logger.Milliseconds("wait_ms", 1234567890*time.Nanosecond))
		require.Contains(t, out.String(), want)
	}
}
