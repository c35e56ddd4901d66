package deadletter

import (
	"cmp"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// groupTimeout is how long letters are read to make groups of them; what was
	// read by then is the answer.
	groupTimeout = 3 * time.Second
	// failuresAtATime is how many are read with one statement: between two of them
	// others get their turn.
	failuresAtATime = 5000
	// groupsTold is how many groups are told apart while letters are counted, which
	// bounds what they take: about 1 MiB. Letters of others only count.
	groupsTold = 4000
	// shapesKept is how many texts are remembered, which takes less than 1 MiB.
	shapesKept = 1000
)

type groupKey struct {
	reason     domain.DeadLetterReason
	endpointID uuid.UUID
	shape      string
}

// grouping makes groups of letters, which come newest first.
type grouping struct {
	groups  map[groupKey]*domain.DeadLetterGroup
	counted int
	others  int
	shapes  shapes
}

// shapes are those of some texts: many letters have the same.
type shapes map[string]string

// of returns the shape of a text.
func (s shapes) of(text string) string {
	shape, known := s[text]
	if !known {
		if shape = shapeOf(text); len(s) < shapesKept {
			s[text] = shape
		}
	}
	return shape
}

func newGrouping() *grouping {
	return &grouping{groups: make(map[groupKey]*domain.DeadLetterGroup), shapes: make(shapes)}
}

func (g *grouping) add(f *domain.DeadLetterFailure) {
	g.counted++
	shape := g.shapes.of(f.Error)
	key := groupKey{f.Reason, f.EndpointID, shape}
	group := g.groups[key]
	switch {
	case group == nil && len(g.groups) >= groupsTold:
		g.others++
		return
	case group == nil:
		group = &domain.DeadLetterGroup{Reason: f.Reason, EndpointID: f.EndpointID, Error: shape, Last: f.CreatedAt, Example: f.Seq}
		g.groups[key] = group
	}
	group.Count++
	group.First = f.CreatedAt
}

// result returns the largest groups; of two that are as large, the one with the
// newest letter comes first.
func (g *grouping) result(truncated bool) domain.DeadLetterGroups {
	r := domain.DeadLetterGroups{Others: g.others, Counted: g.counted, Truncated: truncated, Groups: make([]domain.DeadLetterGroup, 0, len(g.groups))}
	for _, group := range g.groups {
		r.Groups = append(r.Groups, *group)
	}
	slices.SortFunc(r.Groups, func(a, b domain.DeadLetterGroup) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(b.Example, a.Example))
	})
	for len(r.Groups) > domain.MaxDeadLetterGroups {
		last := len(r.Groups) - 1
		r.Others += r.Groups[last].Count
		r.Groups = r.Groups[:last]
	}
	return r
}
