package consumer

import (
	"math"
	"runtime/debug"
	"sync/atomic"
)

const (
	// defaultBudget is in bytes, for a process without a memory limit.
	defaultBudget = 256 << 20
	// budgetOfLimit is which part of GOMEMLIMIT bodies may take: what else
	// there is, copies on their way to the store and garbage, takes the rest.
	budgetOfLimit = 4
	// consumersShare is which part of the budget one consumer may take while
	// others leave it room.
	consumersShare = 8
	// leastPrefetch is how far large bodies shrink a prefetch: one message is
	// stored and another one waits.
	leastPrefetch = 2
)

// budget bounds the bytes that all consumers of a process hold. It is safe for
// concurrent use.
type budget struct {
	most int64
	held atomic.Int64
	// consumers returns how many share it.
	consumers func() int
}

// newBudget returns a budget of so many bytes, or, when most is 0, of a part
// of the memory that the Go runtime may use.
func newBudget(most int64, consumers func() int) *budget {
	if most == 0 {
		most = defaultBudget
		if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
			most = limit / budgetOfLimit
		}
	}
	return &budget{most: most, consumers: consumers}
}

// single is how much one consumer may hold, whatever the others do.
func (b *budget) single() int64 { return b.most / consumersShare }

// fair is an equal part of the budget.
func (b *budget) fair() int64 { return b.most / int64(max(1, b.consumers())) }

// prefetch returns for how many deliveries of a size there is room, with as
// much to spare again before it gets too much.
func (b *budget) prefetch(size int64) int {
	return int(max(leastPrefetch, min(b.single()/2, b.fair())/max(1, size)))
}
