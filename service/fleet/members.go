package fleet

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/google/uuid"
)

// members is an immutable list of replicas, in the order of their names.
type members struct {
	names []string
	seeds []uint64 // one for each name
}

func newMembers(names []string) *members {
	m := &members{names: slices.Sorted(slices.Values(names))}
	for _, name := range m.names {
		sum := sha256.Sum256([]byte(name))
		m.seeds = append(m.seeds, binary.BigEndian.Uint64(sum[:8]))
	}
	return m
}

// owner returns the member that a tenant belongs to; "" without members. All
// replicas of a fleet must agree on it, whatever their version.
func (m *members) owner(tenantID uuid.UUID) string {
	if m == nil {
		return ""
	}
	// The first half of an id is little more than the time.
	key := mix(mix(binary.BigEndian.Uint64(tenantID[:8])) ^ binary.BigEndian.Uint64(tenantID[8:]))
	var owner string
	var highest uint64
	for i, seed := range m.seeds {
		if score := mix(key ^ seed); owner == "" || score > highest {
			owner, highest = m.names[i], score
		}
	}
	return owner
}

// mix spreads every bit over all others: it is the finalizer of SplitMix64
// (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators").
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
