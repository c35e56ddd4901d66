package explain

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"lanekeeper/domain"
)

// queueUnanswered reports whether nothing was found out about the queue.
func (f *facts) queueUnanswered() bool {
	return f.queueErr != nil && !errors.Is(f.queueErr, domain.ErrNotFound)
}

// queueMissing reports whether there is no queue.
func (f *facts) queueMissing() bool { return errors.Is(f.queueErr, domain.ErrNotFound) }

// backlog returns how many messages are not stored: those in the queue, and those that
// the consumer has taken; false where that is not known.
func (f *facts) backlog() (int64, bool) {
	held := max(0, f.consumer.Held)
	switch {
	case f.queueErr == nil:
		return f.queue.Ready + held, true
	case f.queueMissing():
		return held, true
	case f.consumer.Depth >= 0 && f.consumer.State != "":
		return f.consumer.Depth, true // as its replica has seen it last
	}
	return 0, false
}

// waiting returns the backlog, or 0 where that is not known.
func (f *facts) waiting() int64 {
	n, _ := f.backlog()
	return n
}

// rate returns how many messages are stored in a second; negative where that is not
// known.
func (f *facts) rate() float64 {
	if f.progressErr != nil {
		return -1
	}
	return f.progress.Rate
}

// expected returns how long so many messages take to be stored; 0 where that is not
// known.
func (f *facts) expected(messages int64) time.Duration {
	if f.justBegun() {
		return 0
	}
	return expected(messages, f.rate())
}

// justBegun reports whether so few messages were stored, and so much more is being stored
// at the moment, that how fast they are stored says nothing of how long the rest takes.
func (f *facts) justBegun() bool {
	const longEnough = 10 * time.Second
	return f.progress.CountedFor < longEnough && f.progress.Counted < f.consumer.Held/2
}

func expected(messages int64, rate float64) time.Duration {
	const longest = 100 * 365 * 24 * time.Hour
	if messages <= 0 || rate <= 0 {
		return 0
	}
	return time.Duration(min(float64(messages)/rate*float64(time.Second), float64(longest)))
}

// running reports whether the consumer is subscribed, as its replica says.
func (f *facts) running() bool { return f.consumer.State == domain.ConsumerRunning }

// mayBeLocked reports whether it is worth asking who has what locked.
func (f *facts) mayBeLocked() bool {
	return f.databaseErr == nil && (f.consumer.Store.Kind == domain.StoreLocked || errors.Is(f.progressErr, domain.ErrContended) ||
		errors.Is(f.wantedErr, domain.ErrContended))
}

// seemsStill reports whether messages wait for a consumer that runs, and nothing was
// stored of late, without anything that is known to be in the way. What another replica
// holds is not counted: it may be old.
func (f *facts) seemsStill() bool {
	return f.tenant.Consuming() && f.running() && f.consumer.Store.Kind == "" && f.queueErr == nil && f.queue.Consumers > 0 &&
		f.queue.Ready > 0 && f.progressErr == nil && f.progress.Rate == 0 && f.now.Sub(f.progress.LastAt) > domain.StoredWithin/2
}

// say puts things into words.
func (f *facts) say() sentences { return sentences{f} }

// explain says why the tenant's messages stand.
func (f *facts) explain() domain.Explanation {
	causes := append(f.storing(), f.taking()...)
	return f.explanation(append(causes, f.endpoints()...))
}

// explanation sums causes up. Those that stop something come first, and among them the
// order is kept.
func (f *facts) explanation(causes []domain.Cause) domain.Explanation {
	slices.SortStableFunc(causes, func(a, b domain.Cause) int {
		switch {
		case a.Stops == b.Stops:
			return 0
		case a.Stops:
			return -1
		}
		return 1
	})
	e := domain.Explanation{At: f.now, Flows: true, Causes: causes, Backlog: -1, Rate: f.rate()}
	if n, known := f.backlog(); known {
		e.Backlog = n
	}
	e.Flows = len(causes) == 0 || !causes[0].Stops
	if len(causes) > 0 {
		e.Help = causes[0].Help
	}
	if !e.Flows {
		e.Sentence = causes[0].Sentence
		return e
	}
	e.Expected = f.expected(e.Backlog)
	e.Sentence = f.say().flowsSentence(&e)
	return e
}

// storing returns why messages are not stored, the reason that matters most first.
func (f *facts) storing() []domain.Cause {
	var causes []domain.Cause
	t := &f.tenant
	switch {
	case t.Status == domain.TenantProvisioning:
		causes = append(causes, f.say().provisioning())
	case t.Status == domain.TenantInactive:
		causes = append(causes, f.say().inactive())
	case t.Stopped:
		causes = append(causes, f.say().stopped())
	}
	databaseAway, brokerAway := f.databaseErr != nil, f.broker.Away || f.brokerSilent
	if databaseAway {
		causes = append(causes, f.say().databaseAway())
	}
	if brokerAway {
		causes = append(causes, f.say().brokerAway())
	}
	if !t.Consuming() || len(causes) > 0 {
		if locked, is := f.locked(); is && !databaseAway {
			causes = append(causes, locked)
		}
		return causes
	}
	return f.consuming()
}

// locked returns the cause that the partition is locked, if it is.
func (f *facts) locked() (domain.Cause, bool) {
	if f.consumer.Store.Kind == domain.StoreLocked || errors.Is(f.progressErr, domain.ErrContended) {
		return f.say().partitionLocked(), true
	}
	return domain.Cause{}, false
}

// answersHere reports whether the database answers the very process that cannot store: it
// is read-only then, say, or commits wait for a standby.
func (f *facts) answersHere() bool {
	return f.consumer.Replica == f.replica && f.databaseErr == nil && f.knownErr == nil && f.progressErr == nil
}

// consuming returns why messages are not stored while the tenant is to be consumed and
// the servers are there.
func (f *facts) consuming() []domain.Cause {
	if locked, is := f.locked(); is {
		return []domain.Cause{locked}
	}
	if f.consumer.Unheard >= domain.ReplicaSuspectAfter { // what it reported is no longer so
		return []domain.Cause{f.say().replicaGone(fmt.Sprintf("was last heard of %s ago", span(f.consumer.Unheard)))}
	}
	switch f.consumer.Store.Kind {
	case domain.StoreAway:
		if f.answersHere() {
			return []domain.Cause{f.say().storeRefuses()}
		}
		return []domain.Cause{f.say().databaseAway()}
	case domain.StoreRefuses:
		return []domain.Cause{f.say().storeRefuses()}
	case domain.StorePartitionMissing:
		return []domain.Cause{f.say().partitionMissing()}
	case domain.StoreLocked, "":
	}
	switch {
	case f.queueMissing():
		return []domain.Cause{f.say().noQueue()}
	case f.queueUnanswered():
		return []domain.Cause{f.say().queueSilent()}
	}
	switch f.consumer.State {
	case domain.ConsumerRunning:
		return f.consumed()
	case domain.ConsumerUnknown:
		return []domain.Cause{f.say().consumerUnknown()}
	case domain.ConsumerDraining:
		return []domain.Cause{f.say().consumerMoving()}
	case domain.ConsumerFailed:
		return []domain.Cause{f.say().noQueue()}
	case domain.ConsumerWaitingForStore:
		return []domain.Cause{f.say().databaseAway()}
	case domain.ConsumerReconnecting:
		switch f.consumer.Trouble {
		case domain.TroubleRefused:
			return []domain.Cause{f.say().consumerRefused()}
		case domain.TroubleUnreadable:
			return []domain.Cause{f.say().unreadable()}
		}
		return []domain.Cause{f.say().consumerLost()}
	case domain.ConsumerStarting, domain.ConsumerStopped:
	}
	return []domain.Cause{f.say().consumerStarting()}
}

// consumed returns what there is to say of a consumer that runs.
func (f *facts) consumed() []domain.Cause {
	switch waiting, known := f.backlog(); {
	case f.queue.Consumers == 0:
		return []domain.Cause{f.say().consumerForgotten()}
	case f.still:
		return []domain.Cause{f.say().stalled()}
	case known && waiting > 0:
		return []domain.Cause{f.say().draining()}
	}
	return nil
}

// taking returns why nothing is accepted for the tenant, or goes away before it is
// stored.
func (f *facts) taking() []domain.Cause {
	var causes []domain.Cause
	if f.broker.Blocked {
		causes = append(causes, f.say().brokerBlocked())
	}
	if refusal, ok := errors.AsType[*domain.Error](f.refusal); ok && refusal.Kind == domain.ErrLimited {
		causes = append(causes, f.say().refused(refusal))
	}
	for i := range f.policies {
		causes = append(causes, f.say().policy(&f.policies[i]))
	}
	return causes
}
