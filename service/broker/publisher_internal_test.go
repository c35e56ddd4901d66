package broker

import (
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq/publisher"
)

// Callers that could not publish are told what happened: not everything is a broker
// that cannot be reached.
func TestPublishErrorsSayWhatHappened(t *testing.T) {
	t.Parallel()
	require.NoError(t, publishError(nil))
	for cause, code := range map[error]string{
		publisher.ErrNacked: "publish_refused", publisher.ErrReturned: "queue_missing", publisher.ErrBlocked: "broker_blocked", publisher.ErrSilent: "queue_silent",
		publisher.ErrAway: "broker_unavailable", publisher.ErrUnknown: "publish_unknown",
	} {
		err := publishError(cause)
		require.ErrorIs(t, err, domain.ErrUnavailable)
		require.Equal(t, code, domain.CodeOf(err), "%v", cause)
		if code != "broker_unavailable" {
			require.NotContains(t, err.Error(), "cannot be reached")
		}
	}
}
