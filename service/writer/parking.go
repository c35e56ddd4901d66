package writer

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
)

const maxParkedBackoff = 5 * time.Second

// parking tries parked tenants on their own, each in a goroutine of its own.
// What arrives for one meanwhile waits in its queue's rows; only that goroutine
// touches what is held, until the queue comes back through returned.
type parking struct {
	transactions *transactions
	log          *slog.Logger
	// failed is called when a tenant could not be stored on its own.
	failed func(q *tenantQueue, cause error)

	fresh    []*tenantQueue // parked by the batch under way; the writer's goroutine
	returned chan *tenantQueue
	slot     chan struct{} // capacity 1: one tenant is tried at a time
	wg       sync.WaitGroup
}

// start begins to try the tenants that were parked by the last batch, once that
// is through.
func (p *parking) start(ctx context.Context) {
	for _, q := range p.fresh {
		p.wg.Go(func() { p.retry(ctx, q) })
	}
	p.fresh = p.fresh[:0]
}

// retry stores what is held of one tenant, for as long as it takes, or as
// anyone waits for it.
func (p *parking) retry(ctx context.Context, q *tenantQueue) {
	for retries := backoff.New(minBackoff, maxParkedBackoff); len(q.held) > 0; {
		if retries.Wait(ctx) != nil {
			return
		}
		if q.held = slices.DeleteFunc(q.held, row.abandoned); len(q.held) == 0 {
			break
		}
		appended, err := p.try(ctx, q.held)
		if err == nil {
			for i, r := range q.held {
				r.finish(domain.StoreResult{Outcome: appended[i].Outcome})
			}
			q.held = nil
			p.log.InfoContext(domain.WithTenantID(ctx, q.tenant), "parked tenant is stored again")
			break
		}
		if errors.Is(err, domain.ErrRejected) {
			break // the writer finds out which row it is
		}
		p.failed(q, err)
	}
	select {
	case p.returned <- q:
	case <-ctx.Done():
	}
}

func (p *parking) try(ctx context.Context, rows []row) ([]domain.AppendResult, error) {
	select {
	case p.slot <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.slot }()
	return p.transactions.run(ctx, rows, nil)
}
