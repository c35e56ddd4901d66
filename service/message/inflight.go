package message

import (
	"context"
	"encoding/binary"
	"math"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/shares"
)

const (
	// ownerInFlight is how many messages of one owner may be on their way to the
	// broker at a time: as many as of one queue, so that there is room for others,
	// however many queues an owner has.
	ownerInFlight = 256
	// crowdedWeight is how many each of them counts for while others publish, too: what
	// is on its way waits in the broker in front of what others send, even to queues of
	// their own, because it is the same processors and the same log.
	crowdedWeight = 4
	// crowdedFor is for how long others count as publishing.
	crowdedFor = time.Second
	// ownerInFlightFor is for how long they count: a queue that does not answer
	// holds up the owner's others for that long and no longer.
	ownerInFlightFor = 500 * time.Millisecond
)

// inFlight is what owners have on their way to the broker. It is safe for concurrent
// use.
type inFlight struct {
	places *shares.Shares
	begun  time.Time
	// last is a part of the id of the owner that published last, and changed when that
	// was another one than before, in nanoseconds since begun; 0 for never.
	last    atomic.Uint64
	changed atomic.Int64
}

func newInFlight() *inFlight {
	return &inFlight{
		places: shares.New(shares.Options{Total: math.MaxInt64, PerOwner: ownerInFlight, PerUser: ownerInFlight}),
		begun:  time.Now(),
	}
}

// note says that an owner publishes, and returns whether another one does, too.
func (f *inFlight) note(owner uuid.UUID) (crowded bool) {
	now := int64(max(time.Since(f.begun), 1))
	changed := f.changed.Load()
	if key, last := binary.BigEndian.Uint64(owner[8:]), f.last.Load(); key != last {
		f.last.Store(key)
		if last == 0 && changed == 0 {
			return false // it is the first one
		}
		f.changed.Store(now)
		return true
	}
	return changed > 0 && now-changed < int64(crowdedFor)
}

// enter waits until n messages of a tenant may be on their way. The caller must call
// leave when they have arrived. The error, an ErrUnavailable, is that of ctx.
func (f *inFlight) enter(ctx context.Context, t *domain.Tenant, n int, crowded bool) (leave func(), err error) {
	if crowded {
		n *= crowdedWeight
	}
	place, err := f.places.Take(ctx, shares.User{Owner: t.OwnerID.String(), Name: t.ID.String()}, int64(min(n, ownerInFlight)))
	if err != nil {
		return nil, ended(err)
	}
	late := time.AfterFunc(ownerInFlightFor, place.GiveBack)
	return func() {
		late.Stop()
		place.GiveBack()
	}, nil
}
