package fleet

import (
	"slices"
	"time"
)

const (
	// A row that was not renewed for suspectAfter, by the database's clock,
	// makes a suspect; one who remains that for confirmAfter, by ours, is dead.
	suspectAfter = 6 * time.Second
	confirmAfter = 4 * time.Second
	deadAfter    = suspectAfter + confirmAfter
	// freezeFor is how long nobody leaves after an outage.
	freezeFor = 10 * time.Second
)

// roster is what a replica knows of the others. The package's documentation
// has the states. Times are those of this process's monotonic clock.
type roster struct {
	self string
	// in tells whether this replica takes part itself.
	in      bool
	members map[string]bool
	// suspects are the members that were not seen alive, since when.
	suspects map[string]time.Time
	// away tells that the last attempt to reach the table failed, and
	// frozenUntil when members may leave again.
	away        bool
	frozenUntil time.Time
}

func newRoster(self string) *roster {
	return &roster{self: self, members: make(map[string]bool), suspects: make(map[string]time.Time)}
}

// unreachable notes that the table could not be read or written. It returns
// true for the first time in a row.
func (r *roster) unreachable() (first bool) {
	first, r.away = !r.away, true
	return first
}

// reachable notes that the row was written and the table read. It returns
// true for the first time after an outage.
func (r *roster) reachable(now time.Time) (first bool) {
	if first, r.away = r.away, false; first {
		r.frozenUntil = now.Add(freezeFor)
	}
	return first
}

// missing tells whether a member is not among those alive.
func (r *roster) missing(alive []string) bool {
	for name := range r.members {
		if name != r.self && !slices.Contains(alive, name) {
			return true
		}
	}
	return false
}

// see takes in who is alive and who has a row at all, and returns who came
// and who left. This replica is what it made itself, whatever the table says.
func (r *roster) see(now time.Time, alive, known []string) (came, left []string) {
	if r.members[r.self] && !r.in {
		delete(r.members, r.self)
		left = append(left, r.self)
	}
	for _, name := range append([]string{r.self}, alive...) {
		delete(r.suspects, name)
		if !r.members[name] && (r.in || name != r.self) {
			r.members[name] = true
			came = append(came, name)
		}
	}
	frozen := now.Before(r.frozenUntil)
	for name := range r.members {
		if name == r.self || slices.Contains(alive, name) {
			continue
		}
		since, suspect := r.suspects[name]
		if !suspect {
			since = now
			r.suspects[name] = since
		}
		removed := !slices.Contains(known, name)
		if !frozen && (removed || now.Sub(since) >= confirmAfter) {
			delete(r.members, name)
			delete(r.suspects, name)
			left = append(left, name)
		}
	}
	slices.Sort(came)
	slices.Sort(left)
	return came, left
}

// names returns the members, in no order.
func (r *roster) names() []string {
	names := make([]string, 0, len(r.members))
	for name := range r.members {
		names = append(names, name)
	}
	return names
}
