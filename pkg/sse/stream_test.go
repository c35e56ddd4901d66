package sse_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/sse"
)

func TestStreamEndsAfterSilence(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "data: one\n\n")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	stream, err := sse.Open(t.Context(), server.Client(), server.URL, nil, 64)
	require.NoError(t, err)
	defer stream.Close()
	const limit = 50 * time.Millisecond
	stream.EndAfter(limit)
	e, err := stream.Next()
	require.NoError(t, err)
	require.Equal(t, "one", string(e.Data))
	begun := time.Now()
	_, err = stream.Next()
	require.ErrorIs(t, err, sse.ErrSilent)
	require.GreaterOrEqual(t, time.Since(begun), limit)
	_, err = stream.Next()
	require.ErrorIs(t, err, sse.ErrSilent)
}
