package deadletter

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// world is a repository in memory and a broker that does as it is told. Pages
// have three letters at most, as if they were large.
type world struct {
	domain.Publisher

	mu        sync.Mutex
	letters   map[uuid.UUID][]domain.DeadLetter
	next      int64
	published []domain.Outgoing
	tenants   []uuid.UUID // that these were published to
	reopened  []int64     // letters of deliveries
	// publish is asked for every message, read before every page, and mark
	// before letters are marked.
	publish  func(ctx context.Context, m domain.Outgoing) error
	read     func(ctx context.Context) error
	mark     func() error
	swept    []time.Duration
	excepted []int // how many tenants, at each call
}

func newWorld() *world {
	return &world{
		letters: make(map[uuid.UUID][]domain.DeadLetter),
		publish: func(context.Context, domain.Outgoing) error { return nil },
		read:    func(context.Context) error { return nil },
		mark:    func() error { return nil },
	}
}

func (w *world) service() *Service {
	return NewService(Options{Letters: w, Publisher: w, Log: slog.New(slog.DiscardHandler)})
}

// die adds n letters and returns their seqs.
func (w *world) die(tenant uuid.UUID, n int) []int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	seqs := make([]int64, n)
	for i := range seqs {
		w.next++
		seqs[i] = w.next
		w.letters[tenant] = append(w.letters[tenant], domain.DeadLetter{
			Seq: w.next, ID: uuid.New(), TenantID: tenant, MessageID: fmt.Sprint("order ", w.next), Body: fmt.Append(nil, w.next),
		})
	}
	return seqs
}

// dieAt adds n letters of deliveries to an endpoint; without one they have nowhere
// to go.
func (w *world) dieAt(tenant, endpoint uuid.UUID, n int) []int64 {
	seqs := w.die(tenant, n)
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.letters[tenant] {
		if l := &w.letters[tenant][i]; slices.Contains(seqs, l.Seq) {
			l.Reason, l.EndpointID = domain.ReasonDeliveryFailed, endpoint
		}
	}
	return seqs
}

// waiting returns the letters that were not replayed, and replayed the others.
func (w *world) waiting(tenant uuid.UUID) (seqs []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.letters[tenant] {
		if !l.Replayed() {
			seqs = append(seqs, l.Seq)
		}
	}
	return seqs
}

func (w *world) replayed(tenant uuid.UUID) (seqs []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.letters[tenant] {
		if l.Replayed() {
			seqs = append(seqs, l.Seq)
		}
	}
	return seqs
}

func (w *world) bodies() (bodies []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range w.published {
		bodies = append(bodies, string(m.Body))
	}
	return bodies
}

func (w *world) Publish(ctx context.Context, tenant uuid.UUID, batch []domain.Outgoing) []error {
	errs := make([]error, len(batch))
	for i, m := range batch {
		if errs[i] = w.publish(ctx, m); errs[i] == nil {
			w.mu.Lock()
			w.published, w.tenants = append(w.published, m), append(w.tenants, tenant)
			w.mu.Unlock()
		}
	}
	return errs
}

func (w *world) RecordDeadLetters(context.Context, []domain.DeadLetter) error { panic("not called") }

// match reports whether q asks for a letter.
func match(q *domain.DeadLetterQuery, l *domain.DeadLetter) bool {
	f := &q.Filter
	return l.Seq > q.After && (q.UpTo == 0 || l.Seq <= q.UpTo) && (q.Replayed || !l.Replayed()) && (q.Seqs == nil || slices.Contains(q.Seqs, l.Seq)) &&
		(f.Reason == "" || l.Reason == f.Reason) && (f.EndpointID == uuid.Nil || l.EndpointID == f.EndpointID)
}

func (w *world) ListDeadLetters(ctx context.Context, q domain.DeadLetterQuery) ([]domain.DeadLetter, bool, error) {
	if err := w.read(ctx); err != nil {
		return nil, false, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var page []domain.DeadLetter
	for _, l := range w.letters[q.TenantID] {
		if !match(&q, &l) {
			continue
		}
		if len(page) == min(q.Limit, 3) {
			return page, true, nil
		}
		page = append(page, l)
	}
	return page, false, nil
}

func (w *world) DeadLetterPage(ctx context.Context, q domain.DeadLetterQuery) (domain.DeadLetterPage, error) {
	letters, more, err := w.ListDeadLetters(ctx, q)
	page := domain.DeadLetterPage{Letters: letters, More: more}
	for i := range letters {
		if size := len(letters[i].Body) + domain.RowOverhead; size > q.MaxBytes {
			page.Letters, page.More, page.NextBytes = letters[:i], true, size
			break
		}
	}
	return page, err
}

func (w *world) LastDeadLetter(_ context.Context, tenantID uuid.UUID) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if letters := w.letters[tenantID]; len(letters) > 0 {
		return letters[len(letters)-1].Seq, nil
	}
	return 0, nil
}

func (w *world) CountDeadLetters(_ context.Context, q domain.DeadLetterQuery) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for i := range w.letters[q.TenantID] {
		if match(&q, &w.letters[q.TenantID][i]) && (q.Limit == 0 || n < q.Limit) {
			n++
		}
	}
	return n, nil
}

func (w *world) PickDeadLetters(ctx context.Context, tenantID uuid.UUID, seqs []int64) ([]domain.DeadLetter, error) {
	if err := w.read(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var picked []domain.DeadLetter
	for _, l := range w.letters[tenantID] {
		if slices.Contains(seqs, l.Seq) && !l.Replayed() && len(picked) < 3 {
			picked = append(picked, l)
		}
	}
	return picked, nil
}

func (w *world) ListDeadLetterRefs(ctx context.Context, q domain.DeadLetterQuery) ([]domain.DeadLetterRef, error) {
	if err := w.read(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var refs []domain.DeadLetterRef
	for _, l := range w.letters[q.TenantID] {
		if match(&q, &l) && len(refs) < q.Limit {
			refs = append(refs, domain.DeadLetterRef{Seq: l.Seq, TenantID: l.TenantID, MessageID: l.MessageID, Reason: l.Reason, EndpointID: l.EndpointID})
		}
	}
	return refs, nil
}

func (w *world) ListDeadLetterFailures(ctx context.Context, q domain.DeadLetterQuery) ([]domain.DeadLetterFailure, error) {
	if err := w.read(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var failures []domain.DeadLetterFailure
	for _, l := range slices.Backward(w.letters[q.TenantID]) {
		if match(&q, &l) && len(failures) < q.Limit {
			failures = append(failures, domain.DeadLetterFailure{Seq: l.Seq, Reason: l.Reason, EndpointID: l.EndpointID, Error: l.Error, CreatedAt: l.CreatedAt})
		}
	}
	return failures, nil
}

// ReopenDeliveries skips letters without an endpoint.
func (w *world) ReopenDeliveries(ctx context.Context, tenantID uuid.UUID, letters []domain.DeadLetterRef) (int, error) {
	var seqs []int64
	for i := range letters {
		if letters[i].EndpointID != uuid.Nil {
			seqs = append(seqs, letters[i].Seq)
		}
	}
	if err := w.MarkReplayed(ctx, tenantID, seqs); err != nil {
		return 0, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reopened = append(w.reopened, seqs...)
	return len(seqs), nil
}

func (w *world) MarkReplayed(ctx context.Context, tenantID uuid.UUID, seqs []int64) error {
	if err := errors.Join(ctx.Err(), w.mark()); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.letters[tenantID] {
		if l := &w.letters[tenantID][i]; slices.Contains(seqs, l.Seq) {
			l.ReplayedAt = time.Now()
		}
	}
	return nil
}

func (w *world) DeleteDeadLetters(ctx context.Context, tenantID uuid.UUID, seqs []int64, last int64) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := len(w.letters[tenantID])
	w.letters[tenantID] = slices.DeleteFunc(w.letters[tenantID], func(l domain.DeadLetter) bool {
		return seqs == nil && l.Seq <= last || slices.Contains(seqs, l.Seq)
	})
	return int64(before - len(w.letters[tenantID])), w.read(ctx)
}

func (w *world) DeleteOldDeadLetters(_ context.Context, replayed, others time.Duration, limit int, except []uuid.UUID) (int, []uuid.UUID, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.swept = append(w.swept, replayed, others)
	w.excepted = append(w.excepted, len(except))
	switch len(w.excepted) {
	case 1:
		return limit, nil, nil
	case 2:
		return 1, []uuid.UUID{uuid.New(), uuid.New()}, nil
	}
	return 0, nil, nil
}

func (w *world) WaitingDeadLetters(ctx context.Context) (map[uuid.UUID]int64, error) {
	waiting := make(map[uuid.UUID]int64)
	for id, letters := range w.letters {
		waiting[id] = int64(len(letters))
	}
	return waiting, w.read(ctx)
}

func active() domain.Tenant { return domain.Tenant{ID: uuid.New(), Status: domain.TenantActive} }

func away() error {
	return domain.New(domain.ErrUnavailable, "broker_unavailable", "The broker is away.")
}
