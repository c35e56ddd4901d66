package server

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/tracing"
)

// Lines of the log say which trace they are about.
func TestLogHasTraces(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	log, err := logger.New(&text, logger.Options{FromContext: LogAttributes})
	require.NoError(t, err)
	log.InfoContext(t.Context(), "without")
	require.NotContains(t, text.String(), "trace_id")
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, flags := range []string{"00", "01"} {
		text.Reset()
		log.InfoContext(tracing.Below(t.Context(), "00-"+id+"-00f067aa0ba902b7-"+flags, ""), "with")
		require.Contains(t, text.String(), "trace_id="+id)
	}
}

// That spans are not exported is logged now and then, however often it happens.
func TestExportFailuresAreLoggedNowAndThen(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	f := &exportFailures{log: slog.New(slog.NewTextHandler(&text, nil)), changes: logger.Changes{Remind: exportRemind}}
	for range 100 {
		f.add(errors.New("the collector is away"))
	}
	require.Equal(t, 1, strings.Count(text.String(), "the collector is away"))
}
