package fault

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"lanekeeper/tests/chaos/env"
)

// The hosts of a partitioned cluster: each of the first three has a broker and
// a replica of the service, the last one has the database.
const DatabaseHost = env.ClusterSize

// Hosts are the names of the hosts, in their order.
func Hosts() []string { return []string{"a", "b", "c", "database"} }

// Partition is a set of links of a network that lose everything.
type Partition struct {
	Family string
	Words  string
	Drops  []env.Link
}

// Family makes one kind of partition, of hosts that are drawn by chance.
type Family struct {
	Name string
	draw func(hosts []int) Partition // hosts are all of them, shuffled
}

// Families are the kinds of partitions: those of Jepsen's tests of RabbitMQ and
// of others.
func Families() []Family {
	return []Family{
		{"halves", func(hosts []int) Partition {
			return Partition{Words: HostNames(hosts[:2]) + " | " + HostNames(hosts[2:]), Drops: Between(hosts[:2], hosts[2:])}
		}},
		{"minority", func(hosts []int) Partition {
			// A host with a broker: without the database nothing is stored
			// anyway, which other scenarios check.
			for i, h := range hosts {
				if h != DatabaseHost {
					hosts[0], hosts[i] = hosts[i], hosts[0]
					break
				}
			}
			return Partition{Words: HostNames(hosts[:1]) + " | " + HostNames(hosts[1:]), Drops: Between(hosts[:1], hosts[1:])}
		}},
		{"one way", func(hosts []int) Partition {
			return Partition{Words: HostNames(hosts[:1]) + " -/-> " + HostNames(hosts[1:2]), Drops: []env.Link{{From: hosts[0], To: hosts[1]}}}
		}},
		{"bridge", func(hosts []int) Partition {
			return Partition{
				Words: HostNames(hosts[:1]) + " | " + HostNames(hosts[1:2]) + ", and both see " + HostNames(hosts[2:]),
				Drops: Between(hosts[:1], hosts[1:2]),
			}
		}},
	}
}

// Partitions returns n faults in an order and with parts that depend on the
// numbers alone. Every family comes as often as the others, or once more.
func Partitions(random *rand.Rand, n int) []Partition {
	families := Families()
	var faults []Partition
	for len(faults) < n {
		for _, i := range random.Perm(len(families)) {
			if len(faults) == n {
				break
			}
			f := families[i].draw(random.Perm(env.ClusterSize + 1))
			f.Family = families[i].Name
			faults = append(faults, f)
		}
	}
	return faults
}

// Between returns the links from all of a to all of b, and back.
func Between(a, b []int) []env.Link {
	var links []env.Link
	for _, from := range a {
		for _, to := range b {
			links = append(links, env.Link{From: from, To: to}, env.Link{From: to, To: from})
		}
	}
	return links
}

// HostNames joins the names of hosts.
func HostNames(hosts []int) string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = Hosts()[h]
	}
	return strings.Join(names, " ")
}

// String describes the fault.
func (f Partition) String() string { return fmt.Sprintf("%s: %s", f.Family, f.Words) }
