package consumer

import (
	"sync"
	"time"
)

const (
	sampleEvery = 5 * time.Second
	// idleSamples is how many samples of a queue are left out at a time where nothing
	// happens.
	idleSamples = 5
	// depthTimeout is for one queue, and depthReaders is how many are asked at
	// a time: one that does not answer must not keep the depths of the others
	// from being known.
	depthTimeout = 2 * time.Second
	depthReaders = 4
	// holdCheck is how often it is checked for how long the store has been away.
	holdCheck = 5 * time.Second
)

// sampled is what was known of a consumer when its queue was last asked.
type sampled struct {
	tag  string
	seen counters
	left int // how many samples were left out since
}

// leaveOut reports whether nothing can be learnt by asking: the consumer runs, its queue
// was empty, and nothing was published or taken since. Now and then it is asked all the
// same, since the broker may have forgotten the consumer, or a client may have published
// past this service.
func (s *sampled) leaveOut(o observation, ready int64, settled bool) bool {
	if o.tag != "" && o.tag == s.tag && o.now == s.seen && o.idle && ready == 0 && settled && s.left < idleSamples {
		s.left++
		return true
	}
	s.tag, s.seen, s.left = o.tag, o.now, 0
	return false
}

// every calls work every now and then until the manager ends.
func (m *TenantManager) every(interval time.Duration, work func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			work()
		case <-m.ctx.Done():
			return
		}
	}
}

// readDepths asks for the depth of every queue, a few at a time.
func (m *TenantManager) readDepths() {
	queues := make(chan *consumer)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(queues)
	for range depthReaders {
		wg.Go(func() {
			for c := range queues {
				c.sample(m.ctx)
			}
		})
	}
	for _, c := range m.all() {
		if c.sampled.leaveOut(c.observe(), c.ready.Load(), c.watchdog.settled()) {
			continue
		}
		select {
		case queues <- c:
		case <-m.ctx.Done():
			return
		}
	}
}

// checkStore tells all consumers when the store has been away for so long that what
// they hold has to go back to its queue.
func (m *TenantManager) checkStore() {
	if !m.shared.storeAwayTooLong() {
		return
	}
	for _, c := range m.all() {
		select {
		case c.heldTooLong <- struct{}{}:
		default:
		}
	}
}

// storeAwayTooLong reports whether the store has been away for longer than deliveries
// are held.
func (s *shared) storeAwayTooLong() bool {
	since, away := s.Writer.UnavailableSince()
	return away && time.Since(since) > holdLimit
}
