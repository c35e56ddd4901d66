package message

import (
	"errors"

	"lanekeeper/domain"
)

// outcome is the kind of answer a message got, for the metrics.
type outcome uint8

const (
	outcomeAccepted outcome = iota
	outcomeReplayed
	outcomeRefused
	outcomeLimited
	outcomeUnavailable
	outcomeFailed
	outcomes // how many there are
)

// String returns the label of the outcome.
func (o outcome) String() string {
	switch o {
	case outcomeAccepted:
		return "accepted"
	case outcomeReplayed:
		return "replayed"
	case outcomeRefused:
		return "refused"
	case outcomeLimited:
		return "limited"
	case outcomeUnavailable:
		return "unavailable"
	case outcomeFailed, outcomes:
	}
	return "failed"
}

func outcomeOf(r *domain.Receipt) outcome {
	switch {
	case r.Err == nil && r.Replayed:
		return outcomeReplayed
	case r.Err == nil:
		return outcomeAccepted
	}
	e, ok := errors.AsType[*domain.Error](r.Err)
	if !ok {
		return outcomeFailed
	}
	switch e.Kind {
	case domain.ErrUnavailable:
		return outcomeUnavailable
	case domain.ErrLimited:
		return outcomeLimited
	case domain.ErrInvalid, domain.ErrTooLarge, domain.ErrNotFound, domain.ErrConflict:
		return outcomeRefused
	case domain.ErrMalformed, domain.ErrUnauthenticated, domain.ErrForbidden, domain.ErrUnsupported, domain.ErrGone,
		domain.ErrTooSlow, domain.ErrContended, domain.ErrPartitionMissing, domain.ErrRejected, domain.ErrNoCapacity,
		domain.ErrQueueMissing, domain.ErrNameTaken, domain.ErrStoreRefuses, domain.ErrStoreFault, domain.ErrBacklogFull:
	}
	return outcomeFailed
}

// countOutcomes has the observer count the answers.
func countOutcomes(o Observer, receipts []domain.Receipt) {
	var counts [outcomes]int
	for i := range receipts {
		counts[outcomeOf(&receipts[i])]++
	}
	for kind, n := range counts {
		if n > 0 {
			o.AddPublished(outcome(kind).String(), n)
		}
	}
}
