package verify

import (
	"fmt"
	"os"
	"strings"

	"lanekeeper/tests/chaos/env"
)

// StrandedServers are members of quorum queues that run on brokers which do not
// know the queue, because its declaration was cut off: RabbitMQ refuses to declare
// a queue of that name until its nodes are started again. See
// https://github.com/rabbitmq/ra/issues/410.
type StrandedServers struct {
	cluster *env.Cluster
	found   map[string]int // by the broker's log
}

// NewStrandedServers returns those that the brokers complain of from now on.
func NewStrandedServers(c *env.Cluster) *StrandedServers {
	return &StrandedServers{cluster: c, found: make(map[string]int)}
}

// New reports whether a broker complained since the last call.
func (s *StrandedServers) New() (bool, error) {
	more := false
	for _, n := range s.cluster.Nodes {
		text, err := os.ReadFile(n.LogFile)
		if err != nil {
			return false, fmt.Errorf("read a broker's log: %w", err)
		}
		count := strings.Count(string(text), "ra: failed to form a new cluster")
		more = more || count > s.found[n.LogFile]
		s.found[n.LogFile] = count
	}
	return more, nil
}

// String says what it is about.
func (s *StrandedServers) String() string {
	return "a queue cannot be declared, because members of it run that no broker knows"
}
