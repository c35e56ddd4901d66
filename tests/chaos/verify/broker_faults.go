package verify

import (
	"fmt"
	"os"
	"strings"

	"lanekeeper/tests/chaos/env"
)

// BrokerFaults are those of a cluster of brokers after a partition that end only
// when its nodes are started again, according to their logs:
//
//   - A queue whose declaration was cut off cannot be declared any more: members of
//     it run that no broker knows. See https://github.com/rabbitmq/ra/issues/410.
//   - The nodes reached each other again before they had noticed, and each goes on
//     with the list of queues that it has.
type BrokerFaults struct {
	cluster *env.Cluster
	refused map[string]int // how often a log says so, by the log
	split   map[string]int
}

const (
	logRefused = "ra: failed to form a new cluster"
	logSplit   = "running_partitioned_network"
)

// NewBrokerFaults returns the faults that come from now on.
func NewBrokerFaults(c *env.Cluster) (*BrokerFaults, error) {
	f := &BrokerFaults{cluster: c, refused: make(map[string]int), split: make(map[string]int)}
	return f, f.Forget()
}

// Forget leaves out all that was logged until now.
func (f *BrokerFaults) Forget() error {
	_, err := f.count(f.split, logSplit)
	if err == nil {
		err = f.ForgetRefused()
	}
	return err
}

// ForgetRefused leaves out the queues that could not be declared until now: during
// a partition that is to be expected.
func (f *BrokerFaults) ForgetRefused() error {
	_, err := f.count(f.refused, logRefused)
	return err
}

// Find returns what is wrong with the brokers, or nothing.
func (f *BrokerFaults) Find() (string, error) {
	refused, err := f.count(f.refused, logRefused)
	if err != nil {
		return "", err
	}
	split, err := f.count(f.split, logSplit)
	switch {
	case err != nil:
		return "", err
	case split:
		return "their lists of queues differ", nil
	case refused:
		return "a queue cannot be declared, because members of it run that no broker knows", nil
	}
	return "", nil
}

// count reports whether a log says something more often than was counted, and
// counts it.
func (f *BrokerFaults) count(counts map[string]int, text string) (more bool, err error) {
	for _, n := range f.cluster.Nodes {
		log, err := os.ReadFile(n.LogFile)
		if err != nil {
			return false, fmt.Errorf("read a broker's log: %w", err)
		}
		count := strings.Count(string(log), text)
		more = more || count > counts[n.LogFile]
		counts[n.LogFile] = count
	}
	return more, nil
}
