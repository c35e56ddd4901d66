package rendezvous

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Members is an immutable list of members, in the order of their names. It is safe
// for concurrent use; a nil one is empty.
type Members struct {
	names []string
	seeds []uint64 // one for each name
}

// New returns the members with these names.
func New(names []string) *Members {
	m := &Members{names: slices.Sorted(slices.Values(names))}
	for _, name := range m.names {
		sum := sha256.Sum256([]byte(name))
		m.seeds = append(m.seeds, binary.BigEndian.Uint64(sum[:8]))
	}
	return m
}

// Names returns the names, in order; the caller must not change them.
func (m *Members) Names() []string {
	if m == nil {
		return nil
	}
	return m.names
}

// Owner returns the member that an id belongs to; "" without members.
func (m *Members) Owner(id [16]byte) string {
	if m == nil {
		return ""
	}
	// The first half of a UUIDv7 is little more than the time.
	key := mix(mix(binary.BigEndian.Uint64(id[:8])) ^ binary.BigEndian.Uint64(id[8:]))
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
