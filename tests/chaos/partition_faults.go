package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// The hosts of a partitioned cluster: each of the first three has a broker and
// a replica of the service, the last one has the database.
const databaseHost = clusterSize

func partitionHosts() []string { return []string{"a", "b", "c", "database"} }

// netFault is links of a network that lose everything.
type netFault struct {
	family string
	words  string
	drops  []link
}

// netFamily makes one kind of fault, with the parts drawn by chance.
type netFamily struct {
	name string
	draw func(hosts []int) netFault // hosts are all of them, shuffled
}

// netFamilies are the kinds of partitions. Jepsen's tests of RabbitMQ and of
// others have the same.
func netFamilies() []netFamily {
	return []netFamily{
		{"halves", func(hosts []int) netFault {
			return netFault{words: group(hosts[:2]) + " | " + group(hosts[2:]), drops: between(hosts[:2], hosts[2:])}
		}},
		{"minority", func(hosts []int) netFault {
			// A host with a broker: without the database nobody stores anyway,
			// which other scenarios look at.
			for i, h := range hosts {
				if h != databaseHost {
					hosts[0], hosts[i] = hosts[i], hosts[0]
					break
				}
			}
			return netFault{words: group(hosts[:1]) + " | " + group(hosts[1:]), drops: between(hosts[:1], hosts[1:])}
		}},
		{"one way", func(hosts []int) netFault {
			return netFault{words: group(hosts[:1]) + " -/-> " + group(hosts[1:2]), drops: []link{{hosts[0], hosts[1]}}}
		}},
		{"bridge", func(hosts []int) netFault {
			return netFault{
				words: group(hosts[:1]) + " | " + group(hosts[1:2]) + ", and both see " + group(hosts[2:]),
				drops: between(hosts[:1], hosts[1:2]),
			}
		}},
	}
}

// netFaults returns n faults in an order and with parts that depend on the
// numbers alone. Every family comes as often as the others, or once more.
func netFaults(random *rand.Rand, n int) []netFault {
	families := netFamilies()
	var faults []netFault
	for len(faults) < n {
		for _, i := range random.Perm(len(families)) {
			if len(faults) == n {
				break
			}
			f := families[i].draw(random.Perm(clusterSize + 1))
			f.family = families[i].name
			faults = append(faults, f)
		}
	}
	return faults
}

// between returns the links from all of a to all of b, and back.
func between(a, b []int) []link {
	var links []link
	for _, from := range a {
		for _, to := range b {
			links = append(links, link{from, to}, link{to, from})
		}
	}
	return links
}

// group names hosts.
func group(hosts []int) string {
	names := make([]string, len(hosts))
	for i, h := range hosts {
		names[i] = partitionHosts()[h]
	}
	return strings.Join(names, " ")
}

func (f netFault) String() string { return fmt.Sprintf("%s: %s", f.family, f.words) }
