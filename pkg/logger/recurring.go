package logger

import "time"

const (
	// repeatAfter is how long nothing is said again that was said.
	repeatAfter = time.Minute
	// textsKept bounds the texts that are remembered. Who makes more different
	// ones within a minute is heard less.
	textsKept = 8
)

// Recurring is for something that fails again and again: it says which of the
// failures to log, so that each text is in the log once a minute. The zero value
// is ready. It is not safe for concurrent use.
type Recurring struct {
	logged map[string]time.Time
}

// Due reports whether a failure with this text is to be logged now, and takes
// it for logged then.
func (r *Recurring) Due(text string, now time.Time) bool {
	if at, known := r.logged[text]; known && now.Sub(at) < repeatAfter {
		return false
	}
	for old, at := range r.logged {
		if now.Sub(at) >= repeatAfter {
			delete(r.logged, old)
		}
	}
	if len(r.logged) >= textsKept {
		return false
	}
	if r.logged == nil {
		r.logged = make(map[string]time.Time)
	}
	r.logged[text] = now
	return true
}
