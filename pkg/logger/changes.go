package logger

import "time"

// reasonsKept bounds the reasons that are remembered. When there are more, those
// beyond are not logged.
const reasonsKept = 8

// Changes says what to log of something that is tried again and again, so that
// the log tells of changes and not of attempts: the first failure, one for
// another reason, and that it works again. The zero value is ready. It is not
// safe for concurrent use.
type Changes struct {
	// Remind is how long a reason is not logged again while it lasts; zero for as
	// long as it lasts.
	Remind time.Duration
	// logged holds when each reason was logged.
	logged map[string]time.Time
}

// Failed reports whether a failure for this reason, which may be empty, is to be
// logged now, and takes it for logged then.
func (c *Changes) Failed(reason string) bool {
	now := time.Now()
	if at, known := c.logged[reason]; known && !c.over(now, at) {
		return false
	}
	for old, at := range c.logged {
		if c.over(now, at) {
			delete(c.logged, old)
		}
	}
	if len(c.logged) >= reasonsKept {
		return false
	}
	if c.logged == nil {
		c.logged = make(map[string]time.Time)
	}
	c.logged[reason] = now
	return true
}

// Recovered reports whether a success is to be logged: it is the first after a
// failure. The next failure is news then, whatever its reason.
func (c *Changes) Recovered() bool {
	if len(c.logged) == 0 {
		return false
	}
	clear(c.logged)
	return true
}

func (c *Changes) over(now, at time.Time) bool { return c.Remind > 0 && now.Sub(at) >= c.Remind }
