package verify

import (
	"fmt"
)

// MaxExamples is how many cases of one kind are described one by one.
const MaxExamples = 3

// findings gather what does not hold, by kind.
type findings struct {
	counts   map[string]int
	examples map[string][]string
}

func newFindings() *findings {
	return &findings{counts: make(map[string]int), examples: make(map[string][]string)}
}

func (f *findings) add(kind, format string, args ...any) {
	f.counts[kind]++
	if len(f.examples[kind]) < MaxExamples {
		f.examples[kind] = append(f.examples[kind], fmt.Sprintf(format, args...))
	}
}

// The kinds of findings, besides lost and twice.
const (
	altered    = "altered"
	invented   = "stored but never attempted"
	misplaced  = "stored for another tenant"
	renamed    = "stored under another id"
	denied     = "refused but stored"
	notDense   = "hole in seq"
	Buried     = "dead-lettered for no reason"
	buriedMore = "dead-lettered twice"
	unfinished = "left in a queue"
)
