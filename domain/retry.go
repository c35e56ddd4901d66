package domain

import "time"

// RetryWaits returns how long a message that an endpoint did not take waits for
// its next transmission, by the number of attempts before, the last one for all
// further attempts. They are no setting: for each there is a queue of the broker,
// which all replicas share.
func RetryWaits() []time.Duration {
	return []time.Duration{time.Second, 5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute}
}
