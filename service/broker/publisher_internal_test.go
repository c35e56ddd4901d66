package broker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// Whoever could not publish is told what happened: not everything is a broker
// that cannot be reached.
func TestPublishErrorsSayWhatHappened(t *testing.T) {
	t.Parallel()
	require.NoError(t, publishError(nil))
	for cause, code := range map[error]string{
		errNacked: "publish_refused", errReturned: "queue_missing", errBlocked: "broker_blocked", errSilent: "queue_silent",
		errAway: "broker_unavailable", errUnknown: "publish_unknown",
	} {
		err := publishError(cause)
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.Equal(t, code, domain.CodeOf(err), "%v", cause)
		if code != "broker_unavailable" {
			require.NotContains(t, err.Error(), "cannot be reached")
		}
	}
}
