package main

import (
	"syscall"
	"time"
)

// sleepUntil waits for a moment. Go's own timers can be a millisecond late on
// Linux, the system's are not.
func sleepUntil(due time.Time) {
	for wait := time.Until(due); wait > 0; wait = time.Until(due) {
		ts := syscall.NsecToTimespec(int64(wait))
		_ = syscall.Nanosleep(&ts, nil) // interrupted: the rest is slept next
	}
}
