package broker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"lanekeeper/pkg/rabbitmq"
)

const (
	// isolationLanes is how many silent queues can be published to at once.
	isolationLanes = 32
	// isolationWait is how long a publication waits for one of them.
	isolationWait = time.Second
	// forgetAfter is how long a queue stays in quarantine that nobody
	// publishes to.
	forgetAfter = time.Minute
)

var errSilent = errors.New("the queue confirms nothing")

// quarantine knows the queues that were silent on a lane that others use, too,
// and has them published to on lanes of their own:
//
//	free --silent--> suspect, without a lane --publication--> suspect, on a lane of its own
//	 ^                  |                                        |
//	 +--not used for a minute------------------------------------+
//	 +--a publication was confirmed------------------------------+
//
// A suspect has one publication unconfirmed until the first is confirmed. While
// that takes too long, all others are refused at once. Those that only stood
// behind a silent queue are free again after one round trip.
//
// The lock is never held while waiting. A lane belongs to the suspect that has
// it, else it is in idle.
type quarantine struct {
	idle chan *lane
	size atomic.Int64 // len(suspects), for those who publish to others

	mu       sync.Mutex
	suspects map[string]*suspect
}

// suspect is guarded by the quarantine's mutex.
type suspect struct {
	queue     string
	lane      *lane // nil until it is published to
	users     int   // calls under way
	seen      time.Time
	acquitted bool // it is free; what is under way ends on the lane
}

func newQuarantine() *quarantine {
	return &quarantine{idle: make(chan *lane, isolationLanes), suspects: make(map[string]*suspect)}
}

// lanes makes the isolation lanes on the given connections. Call it once.
func (q *quarantine) lanes(connections []*rabbitmq.Connection, spare *subscribers, r *room, log *slog.Logger) []*lane {
	var lanes []*lane
	for i := range isolationLanes {
		l := newLane(connections[i%len(connections)], spare, r, log, q)
		l.isolation = true
		lanes = append(lanes, l)
		q.idle <- l
	}
	return lanes
}

// add makes the queues suspects.
func (q *quarantine) add(queues []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.forgetOldLocked()
	for _, queue := range queues {
		s := q.suspects[queue]
		if s == nil {
			s = &suspect{queue: queue}
			q.suspects[queue] = s
			q.size.Add(1)
		}
		s.seen, s.acquitted = time.Now(), false
	}
}

// holds tells whether the queue is a suspect.
func (q *quarantine) holds(queue string) bool {
	if q.size.Load() == 0 {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.suspects[queue]
	return s != nil && !s.acquitted
}

// enter returns the suspect, with its lane, that a publication to the queue
// has to use, or nil when the queue is free. Who got a suspect has to leave it.
func (q *quarantine) enter(ctx context.Context, queue string) (*suspect, error) {
	if q.size.Load() == 0 {
		return nil, nil //nolint:nilnil // no suspect
	}
	q.mu.Lock()
	q.forgetOldLocked()
	s := q.suspects[queue]
	if s == nil || s.acquitted {
		q.mu.Unlock()
		return nil, nil //nolint:nilnil // no suspect
	}
	s.users++
	lane := s.lane
	q.mu.Unlock()
	if lane == nil {
		if lane = q.assign(ctx, s); lane == nil {
			q.leave(s)
			return nil, errSilent
		}
	}
	if lane.stalled() {
		q.leave(s)
		return nil, errSilent
	}
	return s, nil
}

// assign waits for an idle lane, and returns the suspect's; nil if there is
// none.
func (q *quarantine) assign(ctx context.Context, s *suspect) *lane {
	limit := time.NewTimer(isolationWait)
	defer limit.Stop()
	var l *lane
	select {
	case l = <-q.idle:
	case <-limit.C:
		return nil
	case <-ctx.Done():
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if s.lane == nil {
		s.lane = l
	} else {
		q.idle <- l // another call was faster; there is room for all lanes
	}
	return s.lane
}

// leave ends a call.
func (q *quarantine) leave(s *suspect) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.users--
	s.seen = time.Now()
	q.freeLocked(s)
}

// acquit notes that the suspect's queue confirmed something.
func (q *quarantine) acquit(s *suspect) {
	q.mu.Lock()
	defer q.mu.Unlock()
	s.acquitted = true
	q.freeLocked(s)
}

// acquitLane does so for the suspect that has the lane.
func (q *quarantine) acquitLane(l *lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, s := range q.suspects {
		if s.lane == l {
			s.acquitted = true
			q.freeLocked(s)
		}
	}
}

func (q *quarantine) forgetOldLocked() {
	for _, s := range q.suspects {
		if s.users == 0 && time.Since(s.seen) > forgetAfter {
			s.acquitted = true
			q.freeLocked(s)
		}
	}
}

// freeLocked forgets an acquitted suspect that nobody uses any more.
func (q *quarantine) freeLocked(s *suspect) {
	if !s.acquitted || s.users > 0 || q.suspects[s.queue] != s {
		return
	}
	delete(q.suspects, s.queue)
	q.size.Add(-1)
	if s.lane != nil {
		q.idle <- s.lane
	}
}
