package auth

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"lanekeeper/domain"
)

const (
	// processorsPerHash is how many processors there are for each password that is
	// hashed at a time: the other ones are for everybody else.
	processorsPerHash = 2
	// mostWaiting is how many wait for each place, and turnPatience how long.
	mostWaiting  = 64
	turnPatience = 4 * time.Second
	// mostPassed is how often in a row somebody else comes before who has waited
	// longest.
	mostPassed = 2
	// A place rests after a computation, so that many logins in a row keep no processor
	// busy: for the time that it took, divided by restShare, and for mostRest at most.
	// Who has no other login, and none that failed lately, does not wait for it. While
	// many guess at one account from everywhere its owner does, and for all of theirs.
	restShare = 2
	mostRest  = 100 * time.Millisecond
	// busyAfter is when to come back.
	busyAfter = 2 * time.Second
)

// asker is who wants something computed.
type asker struct {
	// by is the address, or whoever else the turns are shared by.
	by string
	// failures is how many of its logins have failed lately.
	failures int
}

// turns lets few computations run at a time. Those come first whose logins have not
// failed lately, and among them those of callers with fewest that wait: so neither who
// guesses nor who has many logins holds up others. After a few of those, or when there
// are none, comes who has waited longest: so nobody waits for ever. It starts no
// goroutine, and is safe for concurrent use.
type turns struct {
	places, mostWaiting int
	patience            time.Duration

	mu      sync.Mutex // guards the rest; nothing waits while it is held
	taken   []*place
	waiting []*turn // in the order of byTurn
	came    uint64
	passed  int // how many in a row came before who has waited longest
}

// place is where something is computed, or was a moment ago. Whoever comes next to the
// same place gets another one in its stead.
type place struct {
	by      string
	resting bool
}

// turn is a computation that waits.
type turn struct {
	asker

	// before is how many of the same caller wait, compute or rest when it comes.
	before int
	came   uint64 // its number
	begin  chan begin
}

// begin is where a turn begins, or why it does not.
type begin struct {
	at  *place
	err error
}

func newTurns() *turns {
	places := max(1, runtime.GOMAXPROCS(0)/processorsPerHash)
	return &turns{places: places, mostWaiting: places * mostWaiting, patience: turnPatience}
}

// take waits for a turn. The caller must call done once when it has computed. The error
// is an ErrUnavailable: there are too many, or it took too long.
func (t *turns) take(ctx context.Context, a asker) (done func(), err error) {
	mine, err := t.enter(a)
	if err != nil {
		return nil, err
	}
	patience := time.NewTimer(t.patience)
	defer patience.Stop()
	var got begin
	select {
	case got = <-mine.begin:
	case <-patience.C:
		got = t.leave(mine, nil)
	case <-ctx.Done():
		got = t.leave(mine, ctx.Err())
	}
	if got.err != nil {
		return nil, got.err
	}
	begun := time.Now()
	return func() { t.rest(got.at, min(time.Since(begun)/restShare, mostRest)) }, nil
}

// enter begins to wait, or to compute.
func (t *turns) enter(a asker) (*turn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.came++
	mine := &turn{asker: a, came: t.came, begin: make(chan begin, 1)}
	for _, other := range t.waiting {
		if other.by == a.by {
			mine.before++
		}
	}
	for _, p := range t.taken {
		if p.by == a.by {
			mine.before++
		}
	}
	if len(t.taken) < t.places {
		t.taken = append(t.taken, nil)
		t.start(mine, len(t.taken)-1)
		return mine, nil
	}
	resting := slices.IndexFunc(t.taken, func(p *place) bool { return p.resting })
	if resting >= 0 && mine.atOnce() && (len(t.waiting) == 0 || t.passed < mostPassed) {
		if len(t.waiting) > 0 {
			t.passed++
		}
		t.start(mine, resting)
		return mine, nil
	}
	at, _ := slices.BinarySearchFunc(t.waiting, mine, byTurn)
	if len(t.waiting) >= t.mostWaiting {
		if at == len(t.waiting) {
			return nil, loginsBusy(nil)
		}
		last := len(t.waiting) - 1
		t.waiting[last].begin <- begin{err: loginsBusy(nil)}
		t.waiting = t.waiting[:last]
	}
	t.waiting = slices.Insert(t.waiting, at, mine)
	return mine, nil
}

// start lets a turn begin at a place. The mutex is held.
func (t *turns) start(mine *turn, at int) {
	t.taken[at] = &place{by: mine.by}
	mine.begin <- begin{at: t.taken[at]}
}

// rest ends what was computed at a place.
func (t *turns) rest(at *place, pause time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := t.first(); i >= 0 && t.waiting[i].atOnce() {
		t.next(slices.Index(t.taken, at))
		return
	}
	at.resting = true
	time.AfterFunc(pause, func() { t.free(at) })
}

// free ends the rest at a place, unless somebody has begun there.
func (t *turns) free(at *place) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.taken, at); i >= 0 {
		t.next(i)
	}
}

// next gives a place to who comes first. The mutex is held.
func (t *turns) next(at int) {
	i := t.first()
	if i < 0 {
		t.taken = slices.Delete(t.taken, at, at+1)
		return
	}
	first := t.waiting[i]
	t.waiting = slices.Delete(t.waiting, i, i+1)
	t.passed++
	if !slices.ContainsFunc(t.waiting, func(other *turn) bool { return other.came < first.came }) {
		t.passed = 0
	}
	t.start(first, at)
}

// first returns who of those who wait comes first; -1 when nobody waits. The mutex is
// held.
func (t *turns) first() int {
	if t.passed < mostPassed || len(t.waiting) == 0 {
		return min(0, len(t.waiting)-1)
	}
	oldest := 0
	for i, other := range t.waiting {
		if other.came < t.waiting[oldest].came {
			oldest = i
		}
	}
	return oldest
}

// leave ends the waiting. When the turn came at the same moment it goes to the next.
func (t *turns) leave(mine *turn, cause error) begin {
	t.mu.Lock()
	at := slices.Index(t.waiting, mine)
	if at >= 0 {
		t.waiting = slices.Delete(t.waiting, at, at+1)
	}
	t.mu.Unlock()
	if at < 0 {
		got := <-mine.begin
		if got.err != nil {
			return got
		}
		t.free(got.at)
	}
	return begin{err: loginsBusy(cause)}
}

// atOnce reports whether it does not wait for a place that rests.
func (t *turn) atOnce() bool { return t.failures == 0 && t.before == 0 }

func byTurn(a, b *turn) int {
	return cmp.Or(cmp.Compare(a.failures, b.failures), cmp.Compare(a.before, b.before), cmp.Compare(a.came, b.came))
}

func loginsBusy(cause error) error {
	return domain.Wrap(cause, domain.ErrUnavailable, "logins_busy", "Too many logins at a time; try again.").After(busyAfter)
}
