package fleet

import (
	"slices"
	"time"

	"lanekeeper/domain"
)

const (
	// A replica whose row was not renewed for suspectAfter, by the database's
	// clock, is a suspect; one that stays a suspect for confirmAfter, by our
	// clock, is dead.
	suspectAfter = domain.ReplicaSuspectAfter
	confirmAfter = deadAfter - suspectAfter
	deadAfter    = domain.ReplicaGoneAfter
	// freezeFor is how long no member is dropped after an outage.
	freezeFor = 10 * time.Second
)

// memberlist is what a replica knows of the others. The package's documentation
// has the states. Times are those of this process's monotonic clock.
type memberlist struct {
	self string
	// in says whether this replica takes part itself.
	in      bool
	members map[string]bool
	// suspects are the members that were not seen alive, since when.
	suspects map[string]time.Time
	// away says that the last attempt to reach the table failed, and
	// frozenUntil when members may leave again.
	away        bool
	frozenUntil time.Time
}

func newMemberlist(self string) *memberlist {
	return &memberlist{self: self, members: make(map[string]bool), suspects: make(map[string]time.Time)}
}

// unreachable notes that the table could not be read or written.
func (l *memberlist) unreachable() { l.away = true }

// reachable notes that the row was written and the table read. It reports
// whether that is the end of an outage.
func (l *memberlist) reachable(now time.Time) bool {
	if !l.away {
		return false
	}
	l.away, l.frozenUntil = false, now.Add(freezeFor)
	return true
}

// missing reports whether a member is not among those alive.
func (l *memberlist) missing(alive []string) bool {
	for name := range l.members {
		if name != l.self && !slices.Contains(alive, name) {
			return true
		}
	}
	return false
}

// update takes in which replicas are alive and which have a row at all, and
// returns which came and which left. This replica is what it made itself,
// whatever the table says.
func (l *memberlist) update(now time.Time, alive, known []string) (came, left []string) {
	if l.members[l.self] && !l.in {
		delete(l.members, l.self)
		left = append(left, l.self)
	}
	for _, name := range append([]string{l.self}, alive...) {
		delete(l.suspects, name)
		if !l.members[name] && (l.in || name != l.self) {
			l.members[name] = true
			came = append(came, name)
		}
	}
	frozen := now.Before(l.frozenUntil)
	for name := range l.members {
		if name == l.self || slices.Contains(alive, name) {
			continue
		}
		since, suspect := l.suspects[name]
		if !suspect {
			since = now
			l.suspects[name] = since
		}
		removed := !slices.Contains(known, name)
		if !frozen && (removed || now.Sub(since) >= confirmAfter) {
			delete(l.members, name)
			delete(l.suspects, name)
			left = append(left, name)
		}
	}
	slices.Sort(came)
	slices.Sort(left)
	return came, left
}

// names returns the members, in no order.
func (l *memberlist) names() []string {
	names := make([]string, 0, len(l.members))
	for name := range l.members {
		names = append(names, name)
	}
	return names
}
