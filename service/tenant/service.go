package tenant

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// createWait is how long a caller waits for a tenant to be provisioned,
	// deleteWait for one to be gone, and settleWait for a consumer to follow
	// a change. What is not done by then goes on by itself.
	createWait = 5 * time.Second
	deleteWait = 5 * time.Second
	settleWait = 3 * time.Second
	// undoWait is how long a caller that is refused waits for what was begun to be
	// undone.
	undoWait = 800 * time.Millisecond
	// confirmTimeout is for recording that a key was used.
	confirmTimeout = time.Second
)

// MaxPageSize is the largest number of tenants that a page may be asked to
// have.
const MaxPageSize = 1000

// ServiceOptions configure NewService.
type ServiceOptions struct {
	Tenants     domain.TenantRepository
	Keys        domain.IdempotencyRepository
	Provisioner *Provisioner
	Reconciler  *Reconciler
	Directory   *Directory
	// Limits are the shares of an owner for whom no others are set.
	Limits domain.Limits
	// Capacity limits how many tenants there may be; nil does not.
	Capacity *Capacity
	// DefaultWorkers is how many workers a tenant gets that asks for no
	// number.
	DefaultWorkers int
	// DefaultRetentionDays is for how long a tenant keeps its messages that
	// does not say; 0 for ever.
	DefaultRetentionDays int
	// Now returns the current time; nil means time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Service is what callers may do with tenants. A tenant that the caller may
// not access, or that is being deleted, is ErrNotFound; one it may access but
// not manage is ErrForbidden to change. While the database is away everything
// is ErrUnavailable. The Service is safe for concurrent use.
type Service struct{ o ServiceOptions }

// NewService returns a Service.
func NewService(o ServiceOptions) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{o: o}
}

// Get returns one tenant.
func (s *Service) Get(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.Tenant, error) {
	return domain.Accessible(ctx, s.o.Tenants, p, id) //nolint:wrapcheck // says what was read
}

// List returns a page of the tenants the caller may access, oldest first, and
// whether there are more after it. Tombstones are never listed, and tenants
// being deleted only when q.Statuses asks for them. A Limit out of range is
// ErrInvalid.
func (s *Service) List(ctx context.Context, p domain.Principal, q domain.TenantQuery) (tenants []domain.Tenant, more bool, err error) {
	if q.Limit < 1 || q.Limit > MaxPageSize {
		return nil, false, domain.WithFields(domain.FieldError{Pointer: "limit", Message: fmt.Sprintf("must be between 1 and %d", MaxPageSize)})
	}
	limit := q.Limit
	q.Limit++
	if q.Statuses = listable(q.Statuses); len(q.Statuses) == 0 {
		return nil, false, nil
	}
	q.VisibleTo = nil
	if !p.IsAdmin() {
		q.VisibleTo = &p
	}
	if tenants, err = s.o.Tenants.ListTenants(ctx, q); err != nil {
		return nil, false, fmt.Errorf("list tenants: %w", err)
	}
	if len(tenants) > limit {
		return tenants[:limit], true, nil
	}
	return tenants, false, nil
}

func listable(asked []domain.TenantStatus) []domain.TenantStatus {
	if len(asked) == 0 {
		return []domain.TenantStatus{domain.TenantProvisioning, domain.TenantActive, domain.TenantInactive}
	}
	var statuses []domain.TenantStatus
	for _, status := range asked {
		if status != domain.TenantDeleted {
			statuses = append(statuses, status)
		}
	}
	return statuses
}

// Change changes name, description and status. The status is stored when it
// returns; the consumer follows within seconds, and mostly before. Errors of
// the values are ErrInvalid.
func (s *Service) Change(ctx context.Context, p domain.Principal, id uuid.UUID, change domain.TenantChange) (domain.Tenant, error) {
	t, err := s.change(ctx, p, id, change.Apply)
	if err != nil || change.Status == nil {
		return t, err
	}
	s.follow(ctx, id, s.o.Provisioner.Settle)
	return t, nil
}

// SetWorkers changes the number of workers, which is stored when it returns
// and takes effect within a second. A number out of range is ErrInvalid, and one
// that is more than the owner's tenants may have together ErrLimited.
func (s *Service) SetWorkers(ctx context.Context, p domain.Principal, id uuid.UUID, n int) (domain.Tenant, error) {
	t, err := s.grow(ctx, p, id, func(t *domain.Tenant) error { return t.SetWorkers(n) }, s.admitWorkers)
	if err != nil {
		return t, err
	}
	s.follow(ctx, id, s.o.Provisioner.Resize)
	return t, nil
}

// admitWorkers returns nil when the owner's tenants may have as many workers as the
// tenant has now.
func (s *Service) admitWorkers(t domain.Tenant, use domain.OwnerUse) error {
	return s.o.Limits.AdmitWorkers(use, t.Workers)
}

// Delete deletes the tenant and everything of it. It waits up to five
// seconds, and returns the tenant as deleted, with the number of messages
// that were discarded; or as deleting, and then that goes on by itself.
func (s *Service) Delete(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.Tenant, error) {
	t, err := s.change(ctx, p, id, func(t *domain.Tenant) error { return t.Transition(domain.TenantDeleting) })
	if err != nil {
		return t, err
	}
	ctx, cancel := context.WithTimeout(ctx, deleteWait)
	defer cancel()
	done, err := s.o.Reconciler.Await(ctx, id)
	if err != nil {
		s.o.Log.InfoContext(domain.WithTenantID(ctx, id), "tenant is not deleted yet", slog.Any("error", err))
	}
	if done.Status != domain.TenantDeleted {
		return t, nil
	}
	return done, nil
}

// change lets work on the tenant after checking that the caller may.
func (s *Service) change(ctx context.Context, p domain.Principal, id uuid.UUID, work func(*domain.Tenant) error) (domain.Tenant, error) {
	return s.grow(ctx, p, id, work, nil)
}

// grow is change which asks admit when the tenant has more workers afterwards.
func (s *Service) grow(
	ctx context.Context, p domain.Principal, id uuid.UUID, work func(*domain.Tenant) error, admit func(domain.Tenant, domain.OwnerUse) error,
) (domain.Tenant, error) {
	if _, err := domain.Manageable(ctx, s.o.Tenants, p, id); err != nil {
		return domain.Tenant{}, err //nolint:wrapcheck // says what was read
	}
	checked := func(t *domain.Tenant) error {
		if t.Gone() {
			return domain.TenantNotFound()
		}
		return work(t)
	}
	var t domain.Tenant
	var err error
	if admit == nil {
		t, err = s.o.Tenants.ChangeTenant(ctx, id, checked)
	} else {
		t, err = s.o.Tenants.GrowTenant(ctx, id, checked, admit)
	}
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return domain.Tenant{}, domain.TenantNotFound()
	case err != nil:
		return domain.Tenant{}, fmt.Errorf("change tenant: %w", err)
	}
	s.o.Directory.Put(t)
	return t, nil
}

// follow waits a moment for what follows from a change that is stored, and leaves to the
// reconciler what cannot be done.
func (s *Service) follow(ctx context.Context, id uuid.UUID, steps ...func(context.Context, uuid.UUID) error) {
	ctx, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	for _, step := range steps {
		if err := step(ctx, id); err != nil {
			s.leaveToReconciler(ctx, id, err)
		}
	}
}

func (s *Service) leaveToReconciler(ctx context.Context, id uuid.UUID, err error) {
	s.o.Log.InfoContext(domain.WithTenantID(ctx, id), "change is left to the reconciler", slog.Any("error", err))
	s.o.Reconciler.Enqueue(id)
}
