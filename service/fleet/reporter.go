package fleet

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/logger"
)

const (
	// Every scanEvery the states of our consumers are compared with what was
	// reported, and at every reportScans-th time everything is.
	scanEvery   = time.Second
	reportScans = 3
	// A report is repeated when it is repeatAfter old, though no more than
	// one in repeatShare each time, so that they spread out.
	repeatAfter = 30 * time.Second
	repeatShare = 8
	// chunkSize is how many consumers are reported at a time.
	chunkSize   = 500
	depthsEvery = 5 * time.Second
)

// reporter reports our consumers to the others, and reads how deep all queues
// are. It belongs to the goroutine of run.
type reporter struct {
	fleet *Fleet
	// reported is what was reported last.
	reported map[uuid.UUID]report
	// outages is for how many of them everything was reported again.
	outages  int64
	depthsAt time.Time
	// failing says that the last report failed.
	failing bool
	// reporting and reading are what the log was told of reports, and of depths.
	reporting, reading logger.Changes
}

// report is what was reported of a consumer. It is to be reported again after
// due.
type report struct {
	status domain.ConsumerStatus
	due    time.Time
}

func newReporter(f *Fleet) *reporter {
	return &reporter{fleet: f, reported: make(map[uuid.UUID]report), depthsAt: time.Now()}
}

func (r *reporter) run(ctx context.Context) {
	ticks := time.NewTicker(scanEvery)
	defer ticks.Stop()
	for scan := 0; ; scan++ {
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
		if !r.fleet.isMember() {
			continue // nobody would read it
		}
		if everything := scan%reportScans == 0; everything || !r.failing {
			r.report(ctx, everything)
		}
		if r.fleet.o.TrackDepths && !time.Now().Before(r.depthsAt) {
			r.depthsAt = time.Now().Add(depthsEvery)
			r.readDepths(ctx)
		}
	}
}

// report reports what has changed: new states, or everything.
func (r *reporter) report(ctx context.Context, everything bool) {
	if outages := r.fleet.outages.Load(); outages != r.outages {
		r.outages = outages
		r.repeatAll()
	}
	changed, ended := r.changes(time.Now(), everything)
	err := r.send(ctx, changed, ended)
	if ctx.Err() != nil {
		return
	}
	r.failing = err != nil
	switch {
	case err == nil && r.reporting.Recovered():
		r.fleet.o.Log.InfoContext(ctx, "consumers are reported again")
	case err != nil && r.reporting.Failed(""):
		r.fleet.o.Log.WarnContext(ctx, "consumers cannot be reported to the other replicas", slog.Any("error", err))
	}
	if r.failing {
		r.repeatAll()
	}
}

// repeatAll has everything reported again, because it may be lost.
func (r *reporter) repeatAll() {
	for id, known := range r.reported {
		known.due = time.Time{}
		r.reported[id] = known
	}
}

// changes returns what to report, in the order of tenants.
func (r *reporter) changes(now time.Time, everything bool) (changed []domain.ConsumerStatus, ended []uuid.UUID) {
	running := r.fleet.o.Consumers()
	seen := make(map[uuid.UUID]struct{}, len(running))
	repeats := len(running)/repeatShare + 1
	for i := range running {
		status := &running[i]
		seen[status.TenantID] = struct{}{}
		known, told := r.reported[status.TenantID]
		switch {
		case !told || !sameState(&known.status, status) || known.due.IsZero():
		case everything && !sameNumbers(&known.status, status):
		case everything && repeats > 0 && now.After(known.due):
			repeats--
		default:
			continue
		}
		changed = append(changed, *status)
	}
	for id := range r.reported {
		if _, runs := seen[id]; !runs {
			ended = append(ended, id)
		}
	}
	slices.SortFunc(changed, func(a, b domain.ConsumerStatus) int { return bytes.Compare(a.TenantID[:], b.TenantID[:]) })
	slices.SortFunc(ended, func(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) })
	return changed, ended
}

// send reports to the others and notes what it reported. Chunks and the two
// kinds go apart, so that no call locks rows out of order. A chunk that cannot
// be written, because the row of one of its tenants is locked, keeps none of the
// others back.
func (r *reporter) send(ctx context.Context, changed []domain.ConsumerStatus, ended []uuid.UUID) error {
	var errs []error
	for chunk := range slices.Chunk(ended, chunkSize) {
		if err := r.call(ctx, nil, chunk); err != nil {
			errs = append(errs, err)
			continue
		}
		for _, id := range chunk {
			delete(r.reported, id)
		}
	}
	for chunk := range slices.Chunk(changed, chunkSize) {
		if err := r.call(ctx, chunk, nil); err != nil {
			errs = append(errs, err)
			continue
		}
		due := time.Now().Add(repeatAfter)
		for i := range chunk {
			r.reported[chunk[i].TenantID] = report{status: chunk[i], due: due}
		}
	}
	return errors.Join(errs...)
}

func (r *reporter) call(ctx context.Context, changed []domain.ConsumerStatus, ended []uuid.UUID) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return r.fleet.o.Reports.ReportConsumers(ctx, r.fleet.o.Replica.Name, changed, ended) //nolint:wrapcheck // says what it did
}

// readDepths takes in all known depths. While they cannot be read the last
// ones stay: without the database, no queue gets shorter.
func (r *reporter) readDepths(ctx context.Context) {
	call, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	depths, err := r.fleet.o.Reports.ConsumerDepths(call, deadAfter)
	switch {
	case ctx.Err() != nil:
		return
	case err == nil:
		r.fleet.depths.Store(&depths)
		r.reading.Recovered()
	case r.reading.Failed(""):
		r.fleet.o.Log.WarnContext(ctx, "depths of queues cannot be read", slog.Any("error", err))
	}
}

// sameState reports whether two statuses differ in numbers at most.
func sameState(a, b *domain.ConsumerStatus) bool {
	return a.State == b.State && a.Tag == b.Tag && a.Workers == b.Workers && a.LastError == b.LastError && a.Since.Equal(b.Since) &&
		a.Trouble == b.Trouble && a.Store.Kind == b.Store.Kind
}

func sameNumbers(a, b *domain.ConsumerStatus) bool {
	return a.Busy == b.Busy && a.Depth == b.Depth && a.Held == b.Held
}
