package delivery

import (
	"context"
	"time"

	"golang.org/x/time/rate"

	"lanekeeper/pkg/shares"
)

const (
	// maxUnderWay is how many deliveries of a process may be under way, and
	// underWayShare which part of them may be one owner's, or go to one address.
	maxUnderWay   = 4096
	underWayShare = 4
)

// slots bounds the deliveries that are under way in this process. It is safe for
// concurrent use.
type slots struct {
	owners, addresses *shares.Shares
}

func newSlots() *slots {
	const share = maxUnderWay / underWayShare
	return &slots{
		owners:    shares.New(shares.Options{Total: maxUnderWay, PerOwner: share, PerUser: share}),
		addresses: shares.New(shares.Options{Total: maxUnderWay, PerOwner: share, PerUser: share / 2}),
	}
}

// take waits for a slot for a delivery of an owner, to an address, until ctx ends.
// Who waits for an address holds only what others of the same owner wait for.
func (s *slots) take(ctx context.Context, owner, endpoint, address string) (giveBack func(), err error) {
	here, err := s.owners.Take(ctx, shares.User{Owner: owner, Name: endpoint}, 1)
	if err != nil {
		return nil, err //nolint:wrapcheck // the end of ctx
	}
	there, err := s.addresses.Take(ctx, shares.User{Owner: address, Name: owner}, 1)
	if err != nil {
		here.GiveBack()
		return nil, err //nolint:wrapcheck // as above
	}
	return func() { there.GiveBack(); here.GiveBack() }, nil
}

// takeFrom takes one from a rate, or returns how long it is until there is one.
func takeFrom(l *rate.Limiter, now time.Time) (wait time.Duration) {
	r := l.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
	}
	return wait
}
