package consumer

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
)

// returnedTimeout bounds one attempt to open deliveries of what came back.
const returnedTimeout = 5 * time.Second

// cameBack collects deliveries of a chunk whose messages are stored already, and may
// be by an earlier version of the service.
type cameBack struct {
	duplicates []domain.Message
	tags       []uint64
	// unreadable are those whose envelope is none that a message can have any more.
	unreadable []unreadable
}

type unreadable struct {
	delivery *domain.Delivery
	id       uuid.UUID
	why      string
}

func (b *cameBack) ids() []uuid.UUID {
	ids := make([]uuid.UUID, 0, len(b.duplicates)+len(b.unreadable))
	for i := range b.duplicates {
		ids = append(ids, b.duplicates[i].ID)
	}
	for _, u := range b.unreadable {
		ids = append(ids, u.id)
	}
	return ids
}

// takeBack opens deliveries for those that an earlier version had stored, and calls
// finished with the tags of what is done then. An unreadable envelope is no reason
// to give up what that version had stored; of the others it calls giveUp. It returns
// false when ctx ended before.
func (p *processor) takeBack(ctx context.Context, b *cameBack, finished func([]uint64), giveUp func(u unreadable)) bool {
	if len(b.tags)+len(b.unreadable) == 0 {
		return true
	}
	earlier, ok := p.openReturned(ctx, b)
	if !ok {
		return false
	}
	tags := b.tags
	for _, u := range b.unreadable {
		if !slices.Contains(earlier, u.id) {
			giveUp(u)
			continue
		}
		p.shared.Metrics.AddMessages(p.tenant, "duplicate", 1)
		tags = append(tags, u.delivery.Tag)
	}
	if len(tags) > 0 {
		finished(tags)
	}
	return true
}

// openReturned tries until it succeeds, or ctx ends, when it returns false. In
// between it stores once more what is stored: that waits for as long as the store is
// away, and has the deliveries go back to the queue when that takes too long.
func (p *processor) openReturned(ctx context.Context, b *cameBack) (earlier []uuid.UUID, ok bool) {
	ids := b.ids()
	retries := backoff.New(minResubscribe, maxResubscribe)
	for {
		limited, cancel := context.WithTimeout(ctx, returnedTimeout)
		earlier, err := p.shared.Returned.Returned(limited, p.tenant, ids)
		cancel()
		if err == nil {
			return earlier, true
		}
		if ctx.Err() == nil {
			p.shared.Log.WarnContext(ctx, "deliveries of an earlier version cannot be taken over, trying on", slog.Any("error", err))
		}
		if retries.Wait(ctx) != nil {
			return nil, false
		}
		if len(b.duplicates) == 0 {
			continue
		}
		if _, err := p.shared.Writer.Store(ctx, b.duplicates); err != nil {
			return nil, false
		}
	}
}

// nothingReturned is a domain.ReturnedMessages for where there was no earlier version.
type nothingReturned struct{}

func (nothingReturned) Returned(context.Context, uuid.UUID, []uuid.UUID) ([]uuid.UUID, error) {
	return nil, nil
}
