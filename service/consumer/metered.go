package consumer

import (
	"sync"

	"lanekeeper/domain"
	"lanekeeper/pkg/contentcoding"
	"lanekeeper/pkg/jsonb"
)

// overhead is what a delivery takes besides its body and its headers, in bytes,
// roughly.
const overhead = 1 << 10

// meteredSubscription is a subscription whose bytes are counted: the broker
// bounds the number of deliveries, and cannot bound their bytes. It goes on
// reading, because other subscriptions share the connection, and hands on what
// comes until it is too much: more than one consumer may have, or, while all of
// them together are beyond the budget, more than an equal part. Then it closes
// Full and drops what still comes. That is the end of it: its owner finishes what
// was handed on, closes it, which makes the broker deliver the rest again, and
// subscribes with a prefetch for which there is room.
//
// The goroutine of Each hands on; another one finishes, acknowledges and closes.
type meteredSubscription struct {
	domain.Subscription
	budget   *budget
	prefetch int
	full     chan struct{}

	mu sync.Mutex
	// sizes are those of the deliveries above base, 0 for those that are
	// finished; inHand is how many are not, held their bytes.
	base   uint64
	sizes  []int64
	inHand int
	held   int64
	over   bool // no more is handed on
	// mean is the mean size of what was held when it got too much.
	mean int64
	// seen is how many deliveries were handed on since it was last asked,
	// seenBytes their bytes.
	seen, seenBytes int64
}

// newMeteredSubscription takes over a subscription with this prefetch.
func newMeteredSubscription(sub domain.Subscription, prefetch int, b *budget) *meteredSubscription {
	return &meteredSubscription{Subscription: sub, budget: b, prefetch: prefetch, full: make(chan struct{})}
}

// minimal reports whether the prefetch cannot shrink, so that it is never too much.
func (m *meteredSubscription) minimal() bool { return m.prefetch <= leastPrefetch }

// Each implements domain.Subscription.
func (m *meteredSubscription) Each(deliver func(domain.Delivery)) {
	m.Subscription.Each(func(d domain.Delivery) {
		if m.open() {
			unpack(&d)
		}
		if m.admit(int64(cap(d.Body)+domain.HeaderBytes(d.Headers)) + overhead) {
			deliver(d)
		}
	})
}

// Full is closed when it holds too much.
func (m *meteredSubscription) Full() <-chan struct{} { return m.full }

// Finished takes deliveries off the account: their bytes are out of use, though they
// may be acknowledged later.
func (m *meteredSubscription) Finished(tags []uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, tag := range tags {
		if tag <= m.base || tag > m.base+uint64(len(m.sizes)) {
			continue
		}
		if size := &m.sizes[tag-m.base-1]; *size > 0 {
			m.inHand--
			m.held -= *size
			m.budget.held.Add(-*size)
			*size = 0
		}
	}
	for len(m.sizes) > 0 && m.sizes[0] == 0 {
		m.base, m.sizes = m.base+1, m.sizes[1:]
	}
}

// Close implements domain.Subscription. What it held must be out of use by
// then.
func (m *meteredSubscription) Close() error {
	m.mu.Lock()
	m.over = true
	m.budget.held.Add(-m.held)
	m.held, m.inHand, m.sizes = 0, 0, nil
	m.mu.Unlock()
	return m.Subscription.Close()
}

// admit accounts for one more delivery and reports whether it is handed on.
func (m *meteredSubscription) admit(size int64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return false
	}
	m.sizes = append(m.sizes, size)
	m.inHand++
	m.held += size
	m.seen++
	m.seenBytes += size
	total := m.budget.held.Add(size)
	if m.inHand > 1 && !m.minimal() && (m.held > m.budget.single() || total > m.budget.most && m.held > m.budget.fair()) {
		m.over, m.mean = true, m.held/int64(m.inHand)
		close(m.full)
	}
	return true
}

// open reports whether what comes is still handed on.
func (m *meteredSubscription) open() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.over
}

// unpack replaces a body that is compressed by what is in it, so that it counts
// with the bytes that it takes. What cannot be unpacked is refused and stays as it came.
func unpack(d *domain.Delivery) {
	if d.Encoding == "" || d.Refusal.Reason != "" {
		return
	}
	body, err := contentcoding.Decode(d.Encoding, d.Body, jsonb.MaxSize)
	if err != nil {
		d.Refusal = domain.Refusal{Reason: domain.ReasonInvalidPayload, Error: err.Error()}
		return
	}
	d.Body, d.Encoding = body, ""
}

// inHandCount returns how many deliveries were handed on and are not finished.
func (m *meteredSubscription) inHandCount() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.inHand
}

// meanWhenFull returns the mean size of what was held when it got too much.
func (m *meteredSubscription) meanWhenFull() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mean
}

// recentMean returns the mean size of what came since it was last asked, and
// false while fewer than so many have come.
func (m *meteredSubscription) recentMean(least int) (int64, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == 0 || m.seen < int64(least) {
		return 0, false
	}
	mean := m.seenBytes / m.seen
	m.seen, m.seenBytes = 0, 0
	return mean, true
}
