package endpoint

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// ReplayOptions configure NewReplays.
type ReplayOptions struct {
	Tenants   domain.TenantFinder
	Endpoints endpointRepository
	Replays   domain.ReplayRepository
}

// Replays has ranges of messages delivered again. It is safe for concurrent use, and
// answers like Service.
type Replays struct {
	o    ReplayOptions
	gate gate
}

// NewReplays returns the Replays.
func NewReplays(o ReplayOptions) *Replays { return &Replays{o, gate{o.Tenants}} }

// Start has messages of a range delivered to an endpoint again, in the background.
// With DryRun it only counts them, and the replay that it returns has no id. Errors
// are those of domain.ReplayRequest.Query, ErrConflict with code replay_running, and
// ErrNotFound when there is nothing in the range.
func (r *Replays) Start(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID, wanted *domain.ReplayRequest) (domain.Replay, error) {
	if _, err := r.gate.manage(ctx, p, tenantID); err != nil {
		return domain.Replay{}, err
	}
	if _, err := r.o.Endpoints.FindEndpoint(ctx, tenantID, id); err != nil {
		return domain.Replay{}, fmt.Errorf("find endpoint: %w", err)
	}
	q, err := wanted.Query(tenantID, id)
	if err != nil {
		return domain.Replay{}, err
	}
	start := r.o.Replays.InsertReplay
	if wanted.DryRun {
		start = r.o.Replays.CountReplay
	}
	replay, err := start(ctx, q)
	if err != nil {
		return domain.Replay{}, fmt.Errorf("replay: %w", err)
	}
	return replay, nil
}

// Get returns how far a replay is.
func (r *Replays) Get(ctx context.Context, p domain.Principal, tenantID, id, replayID uuid.UUID) (domain.Replay, error) {
	if _, err := r.gate.access(ctx, p, tenantID); err != nil {
		return domain.Replay{}, err
	}
	return replayOrNone(r.o.Replays.FindReplay(ctx, tenantID, id, replayID))
}

// List returns the newest replays of an endpoint, the newest first.
func (r *Replays) List(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) ([]domain.Replay, error) {
	if _, err := r.gate.access(ctx, p, tenantID); err != nil {
		return nil, err
	}
	if _, err := r.o.Endpoints.FindEndpoint(ctx, tenantID, id); err != nil {
		return nil, fmt.Errorf("find endpoint: %w", err)
	}
	replays, err := r.o.Replays.ListReplays(ctx, tenantID, id, domain.MaxListedJobs)
	if err != nil {
		return nil, fmt.Errorf("list replays: %w", err)
	}
	return replays, nil
}

// Cancel ends a replay that runs, and returns how far it was. What it has begun
// to deliver goes on; one that has ended stays as it is.
func (r *Replays) Cancel(ctx context.Context, p domain.Principal, tenantID, id, replayID uuid.UUID) (domain.Replay, error) {
	if _, err := r.gate.manage(ctx, p, tenantID); err != nil {
		return domain.Replay{}, err
	}
	return replayOrNone(r.o.Replays.CancelReplay(ctx, tenantID, id, replayID))
}

func replayOrNone(r domain.Replay, err error) (domain.Replay, error) {
	if errors.Is(err, domain.ErrNotFound) {
		return domain.Replay{}, domain.ReplayNotFound()
	}
	if err != nil {
		return domain.Replay{}, fmt.Errorf("find replay: %w", err)
	}
	return r, nil
}
