package consumer

import (
	"context"
	"errors"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestTransmittedMessagesAreStoredFirstAndAcknowledgedAfterwards(t *testing.T) {
	t.Parallel()
	l := newHarness(t, 20)
	release := make(chan struct{})
	l.transmit = func(context.Context, domain.Message) domain.TransmitResult {
		<-release
		return domain.TransmitResult{Status: 200}
	}
	l.start(4, endpoint(1))
	l.eventually(func() bool { return l.inFlight == 4 })
	require.Len(t, l.store.Stored(l.tenant), 20, "all are stored before the first is through")
	l.with(func() { require.Empty(t, l.acked) })
	close(release)
	l.eventually(func() bool { return len(l.acked) == 20 })
	l.with(func() {
		require.Equal(t, 4, l.most, "as many at a time as there are workers")
		for id, n := range l.sent {
			require.Equal(t, 1, n)
			require.Equal(t, domain.TransmissionSucceeded, l.records[id].State)
		}
	})
}

func TestResizingChangesHowManyAreSentAtATime(t *testing.T) {
	t.Parallel()
	l := newHarness(t, 30)
	release := make(chan struct{})
	l.transmit = func(context.Context, domain.Message) domain.TransmitResult {
		<-release
		return domain.TransmitResult{Status: 200}
	}
	m, tenant := l.start(2, endpoint(1))
	l.eventually(func() bool { return l.inFlight == 2 })
	require.NoError(t, m.Resize(t.Context(), tenant.ID, 7))
	l.eventually(func() bool { return l.inFlight == 7 })
	l.with(func() { require.Len(t, l.subs, 1, "resizing does not subscribe again") })
	close(release)
	l.eventually(func() bool { return len(l.acked) == 30 })
}

// What is delivered and not acknowledged counts against the prefetch, and what
// keeps workers busy has to fit into it.
func TestASlowTransmissionLeavesItsPlacesToOthers(t *testing.T) {
	t.Parallel()
	l := newHarness(t, 30)
	first, release := uuid.MustParse(l.queue[0].MessageID), make(chan struct{})
	l.transmit = func(ctx context.Context, m domain.Message) domain.TransmitResult {
		if m.ID == first {
			select {
			case <-release:
			case <-ctx.Done():
			}
		}
		return domain.TransmitResult{Status: 200}
	}
	l.start(2, endpoint(1))
	l.eventually(func() bool { return len(l.acked) == 29 })
	close(release)
	l.eventually(func() bool { return len(l.acked) == 30 })
}

func TestEnoughIsDeliveredForAllWorkers(t *testing.T) {
	t.Parallel()
	l := newHarness(t, 0)
	m, tenant := l.start(2, nil)
	m.shared.prefetch = func() int { return minPrefetch } // as with thousands of tenants
	tenant.Endpoint = endpoint(1)
	require.NoError(t, m.Start(t.Context(), tenant))
	prefetch := func(subs int) (last int) {
		l.eventually(func() bool { last = cap(l.subs[len(l.subs)-1].out); return len(l.subs) == subs })
		return last
	}
	require.Equal(t, endpointPrefetch, prefetch(2))
	for _, workers := range []int{endpointPrefetch, endpointPrefetch + 1} {
		require.NoError(t, m.Resize(t.Context(), tenant.ID, workers))
	}
	require.Equal(t, endpointPrefetch+1, prefetch(3))
}

func TestFailuresGoThroughTheTiersAndThenDie(t *testing.T) {
	t.Parallel()
	l := newHarness(t, 1)
	first := l.queue[0]
	for _, attempt := range []int{1, 2, 3, 4, 99} {
		id := uuid.New()
		d := first
		d.MessageID, d.Attempt = id.String(), attempt
		l.queue = append(l.queue, d)
		l.records[id] = domain.Transmission{MessageID: id, State: domain.TransmissionRetrying, Attempts: attempt}
		_, err := l.store.AppendMessages(t.Context(), []domain.Message{{ID: id, TenantID: l.tenant, Payload: d.Body}})
		require.NoError(t, err)
	}
	l.transmit = fail(500)
	l.start(1, endpoint(1))
	l.eventually(func() bool { return len(l.acked) == 6 })
	l.with(func() {
		require.Equal(t, []int{1, 2, 3, 4}, l.retried)
		require.Len(t, l.letters, 2, "the fifth attempt is the last, also for a message that claims more")
		for _, letter := range l.letters {
			require.Equal(t, domain.ReasonTransmitFailed, letter.Reason)
			require.Equal(t, 5, letter.Attempts)
		}
	})
	require.Len(t, l.store.Stored(l.tenant), 6)
}

func TestGonePausesTheEndpoint(t *testing.T) {
	t.Parallel()
	l := newHarness(t, 10)
	l.transmit = fail(410)
	l.start(1, endpoint(1))
	l.eventually(func() bool { return len(l.acked) == 10 })
	l.with(func() {
		require.Len(t, l.sent, 1, "nothing is sent after the 410")
		require.NotEmpty(t, l.pausedFor)
		require.Equal(t, domain.ReasonTransmitFailed, l.letters[0].Reason)
		for _, letter := range l.letters[1:] {
			require.Equal(t, domain.ReasonEndpointPaused, letter.Reason)
		}
		require.Len(t, l.letters, 10)
	})
}

// A lost session makes the broker deliver again what was not acknowledged.
// What was recorded as sent is not sent again.
func TestARecordedSuccessIsNotSentAgain(t *testing.T) {
	t.Parallel()
	l := newHarness(t, 2)
	slow, fast := l.queue[0].MessageID, l.queue[1].MessageID
	blocked := make(chan struct{})
	l.transmit = func(ctx context.Context, m domain.Message) domain.TransmitResult {
		if m.ID.String() == slow {
			select {
			case <-blocked:
			case <-ctx.Done():
				return domain.TransmitResult{Err: ctx.Err()}
			}
		}
		return domain.TransmitResult{Status: 200}
	}
	l.start(2, endpoint(1))
	// The fast one is behind a gap, so it is recorded and not acknowledged.
	l.eventually(func() bool { return l.records[uuid.MustParse(fast)].State == domain.TransmissionSucceeded })
	close(blocked)
	l.mu.Lock()
	sub := l.subs[0]
	l.mu.Unlock()
	sub.end(errors.New("connection lost"))
	l.eventually(func() bool { return l.acked[fast] > 0 && l.acked[slow] > 0 })
	l.with(func() { require.Equal(t, 1, l.sent[uuid.MustParse(fast)]) })
}

func TestChangingTheEndpointSubscribesAgain(t *testing.T) {
	t.Parallel()
	l := newHarness(t, 5)
	l.transmit = succeed
	m, tenant := l.start(2, nil)
	l.eventually(func() bool { return len(l.acked) == 5 })
	l.with(func() {
		require.Empty(t, l.sent, "without an endpoint storing is all")
		require.Equal(t, maxPrefetch, cap(l.subs[0].out))
		l.queue = append(l.queue, domain.Delivery{MessageID: uuid.NewString(), Body: []byte(`1`)})
	})
	tenant.Endpoint = endpoint(3)
	require.NoError(t, m.Start(t.Context(), tenant))
	l.eventually(func() bool { return len(l.acked) == 6 && len(l.sent) == 1 })
	l.with(func() {
		require.Len(t, l.subs, 2)
		require.Equal(t, domain.MaxWorkers, cap(l.subs[1].out))
	})
	again := *tenant.Endpoint
	tenant.Endpoint = &again
	require.NoError(t, m.Start(t.Context(), tenant))
	l.with(func() { require.Len(t, l.subs, 2, "the same endpoint changes nothing") })
}
