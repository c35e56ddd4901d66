package explain

import (
	"cmp"
	"slices"
	"time"

	"lanekeeper/domain"
)

const (
	// behindFor is how far behind an endpoint has to be, by what it takes in a second,
	// for that to be worth telling.
	behindFor = 2 * time.Second
	// fewBehind is how many messages are nothing to tell of while none has arrived of
	// late: the first ones may be under way.
	fewBehind = 10
)

// sayOf puts things of endpoints into words.
func (f *facts) sayOf() endpointSentences { return endpointSentences{f.say()} }

// endpoints returns what is in the way of deliveries, where most messages wait first.
func (f *facts) endpoints() []domain.Cause {
	switch {
	case f.knownErr != nil && f.databaseErr != nil:
		return nil // it was said that the database does not answer
	case f.knownErr != nil:
		return []domain.Cause{f.sayOf().endpointsUnknown()}
	}
	var causes []domain.Cause
	for i := range f.known.Endpoints {
		if c, there := f.endpoint(&f.known.Endpoints[i]); there {
			causes = append(causes, c)
		}
	}
	slices.SortStableFunc(causes, func(a, b domain.Cause) int { return cmp.Compare(b.Waiting, a.Waiting) })
	return causes
}

// endpoint returns what is in the way of deliveries to an endpoint, if anything is.
func (f *facts) endpoint(e *domain.EndpointFacts) (domain.Cause, bool) {
	if c, stops := f.endpointStops(e); stops {
		return c, true
	}
	lag, rate := e.Progress.Lag(), deliveryRate(e)
	switch {
	case lag == 0:
		return domain.Cause{}, false
	case e.Failed.Seq > 0 && e.Progress.Last == e.Progress.Settled:
		return f.sayOf().endpointRetrying(e), true
	case e.Endpoint.Rate > 0 && lag > int64(e.Endpoint.Rate) && (rate == 0 || rate > float64(e.Endpoint.Rate)/2):
		return f.sayOf().endpointLimited(e), true
	case rate == 0 && lag > fewBehind, rate > 0 && expected(lag, rate) > behindFor:
		return f.sayOf().endpointBehind(e), true
	case e.Failed.Seq > 0:
		return f.sayOf().endpointRetrying(e), true
	}
	return domain.Cause{}, false
}

// endpointStops returns why nothing is delivered to an endpoint, if nothing is, or
// nothing of some keys.
func (f *facts) endpointStops(e *domain.EndpointFacts) (domain.Cause, bool) {
	switch e.Endpoint.Status {
	case domain.EndpointDisabled:
		return f.sayOf().endpointDisabled(e), true
	case domain.EndpointHeld:
		return f.sayOf().endpointHeld(e), true
	case domain.EndpointActive:
	}
	switch {
	case e.Progress.Lag() == 0:
		return domain.Cause{}, false
	case f.known.Deliverer == "":
		return f.sayOf().nobodyDelivers(e), true
	case !e.Progress.Health.BreakerOpenedAt.IsZero():
		return f.sayOf().breakerOpen(e), true
	case e.Endpoint.Ordering == domain.OrderingFIFO && e.Failed.Seq > 0:
		return f.sayOf().orderBlocked(e), true
	case e.Endpoint.Ordering == domain.OrderingKey && e.Failed.Seq > 0 && (f.behindKeys(e) > 0 || e.Progress.Health.ReadingStopped):
		return f.sayOf().keyBlocked(e), true
	}
	return domain.Cause{}, false
}

// behindKeys returns how many messages wait for another one of their key.
func (f *facts) behindKeys(e *domain.EndpointFacts) int64 {
	return e.Behind + f.progress.BehindKeys[e.Endpoint.ID]
}

// deliveryRate returns how many messages an endpoint takes in a second; 0 where that is
// not known.
func deliveryRate(e *domain.EndpointFacts) float64 {
	if e.Delivered < 2 || e.DeliveredFor <= 0 {
		return 0
	}
	return float64(e.Delivered) / e.DeliveredFor.Seconds()
}

// attempts returns how often a delivery may be tried.
func attempts(e *domain.Endpoint) int { return len(e.Retry.Schedule) + 1 }
