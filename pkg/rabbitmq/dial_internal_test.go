package rabbitmq

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
)

// Whatever the URL says, a broker that is gone is noticed in seconds, and what
// was agreed on can be read.
func TestLimitsAreThoseThatWereAgreedOn(t *testing.T) {
	t.Parallel()
	broker := devtest.RabbitMQ(t)
	for query, want := range map[string]Limits{
		"":                           {Channels: 2047, FrameSize: 131072, Heartbeat: 5 * time.Second},
		"?heartbeat=0":               {Channels: 2047, FrameSize: 131072, Heartbeat: 5 * time.Second},
		"?heartbeat=3600":            {Channels: 2047, FrameSize: 131072, Heartbeat: 5 * time.Second},
		"?heartbeat=2&channel_max=9": {Channels: 9, FrameSize: 131072, Heartbeat: 2 * time.Second},
	} {
		s, err := Open(t.Context(), Options{URLs: []string{broker + query}, Log: slog.New(slog.DiscardHandler)})
		require.NoError(t, err, query)
		require.Equal(t, want, s.Limits(), query)
		s.Close()
	}
	_, err := Open(t.Context(), Options{URLs: []string{broker + "?channel_max=2"}})
	require.ErrorIs(t, err, errFewChannels)
}
