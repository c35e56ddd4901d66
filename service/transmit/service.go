package transmit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// settleWait is how long a caller waits for the consumer to follow a
	// change. What is not done by then goes on by itself.
	settleWait = 3 * time.Second
	// maxTestTime is how long a test waits for the endpoint, whatever its
	// timeout: the caller waits too.
	maxTestTime = 5 * time.Second
)

// tenantRepository is the part of domain.TenantRepository the Service needs.
type tenantRepository interface {
	FindTenant(ctx context.Context, id uuid.UUID) (domain.Tenant, error)
	LockTenant(ctx context.Context, id uuid.UUID, fn func(context.Context) error) error
}

// settler lets a tenant's consumer follow a change.
type settler interface {
	Settle(ctx context.Context, id uuid.UUID) error
}

// directory is told of changed tenants.
type directory interface {
	Put(t domain.Tenant)
}

// ServiceOptions configure NewService.
type ServiceOptions struct {
	Tenants     tenantRepository
	Endpoints   domain.EndpointRepository
	Transmitter domain.Transmitter
	Settler     settler
	// Later is told of a tenant whose consumer could not follow a change in
	// time. It must not block.
	Later     func(tenantID uuid.UUID)
	Directory directory
	// Now returns the current time; nil means time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Service is what callers may do with endpoints. A tenant that the caller may
// not access, or that is being deleted, is ErrNotFound; one it may access but
// not manage is ErrForbidden to change. It is safe for concurrent use.
type Service struct{ o ServiceOptions }

// NewService returns a Service.
func NewService(o ServiceOptions) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Service{o: o}
}

// Put sets the tenant's endpoint, which also ends a pause. The secret is made
// with the endpoint, and anew when rotate is set; fresh tells that the one
// returned was just made, so that the caller has to be shown it. Errors of the
// values are ErrInvalid.
func (s *Service) Put(ctx context.Context, p domain.Principal, tenantID uuid.UUID, c domain.EndpointChange) (e domain.Endpoint, fresh bool, err error) {
	if _, err := s.manage(ctx, p, tenantID); err != nil {
		return domain.Endpoint{}, false, err
	}
	wanted, err := domain.NewEndpoint(tenantID, c.URL, c.TimeoutMS)
	if err != nil {
		return domain.Endpoint{}, false, err
	}
	err = s.change(ctx, p, tenantID, func(ctx context.Context) (*domain.Endpoint, error) {
		e, fresh, err = s.put(ctx, wanted, c.RotateSecret)
		return &e, err
	})
	return e, fresh, err
}

func (s *Service) put(ctx context.Context, wanted domain.Endpoint, rotate bool) (e domain.Endpoint, fresh bool, err error) {
	if !rotate {
		e, err = s.o.Endpoints.PutEndpoint(ctx, wanted)
		fresh = errors.Is(err, domain.ErrNotFound)
	}
	if rotate || fresh {
		fresh = true
		wanted.Secret = newSecret()
		e, err = s.o.Endpoints.PutEndpoint(ctx, wanted)
	}
	if err != nil {
		return domain.Endpoint{}, false, fmt.Errorf("put endpoint: %w", err)
	}
	return e, fresh, nil
}

// Get returns the tenant's endpoint, or an ErrNotFound.
func (s *Service) Get(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (domain.Endpoint, error) {
	t, err := s.access(ctx, p, tenantID)
	if err != nil {
		return domain.Endpoint{}, err
	}
	if t.Endpoint == nil {
		return domain.Endpoint{}, domain.EndpointNotFound()
	}
	return *t.Endpoint, nil
}

// Delete takes the tenant's endpoint away. None is an ErrNotFound.
func (s *Service) Delete(ctx context.Context, p domain.Principal, tenantID uuid.UUID) error {
	return s.change(ctx, p, tenantID, func(ctx context.Context) (*domain.Endpoint, error) {
		return nil, s.o.Endpoints.DeleteEndpoint(ctx, tenantID)
	})
}

// Test sends a message to the tenant's endpoint now, paused or not, and
// returns how that went and how long it took. Nothing is stored or tried
// again.
func (s *Service) Test(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (domain.TransmitResult, time.Duration, error) {
	t, err := s.manage(ctx, p, tenantID)
	if err != nil {
		return domain.TransmitResult{}, 0, err
	}
	if t.Endpoint == nil {
		return domain.TransmitResult{}, 0, domain.EndpointNotFound()
	}
	m, err := testMessage(tenantID, s.o.Now())
	if err != nil {
		return domain.TransmitResult{}, 0, err
	}
	e := *t.Endpoint
	e.Timeout = min(e.Timeout, maxTestTime)
	begun := time.Now()
	result := s.o.Transmitter.Transmit(ctx, e, m)
	return result, time.Since(begun), nil
}

func testMessage(tenantID uuid.UUID, now time.Time) (domain.Message, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return domain.Message{}, fmt.Errorf("make message id: %w", err)
	}
	payload, err := json.Marshal(map[string]string{
		"type": "lanekeeper.test", "tenant_id": tenantID.String(), "timestamp": now.UTC().Format(time.RFC3339),
	})
	if err != nil {
		return domain.Message{}, fmt.Errorf("make test message: %w", err)
	}
	return domain.Message{ID: id, TenantID: tenantID, Payload: payload, CreatedAt: now}, nil
}

// change runs work under the tenant's lock, which keeps callers from changing
// the endpoint at once and the tenant from being erased meanwhile, and then
// lets the consumer follow. Work returns the endpoint as it is afterwards.
func (s *Service) change(ctx context.Context, p domain.Principal, tenantID uuid.UUID, work func(context.Context) (*domain.Endpoint, error)) error {
	if _, err := s.manage(ctx, p, tenantID); err != nil {
		return err
	}
	var t domain.Tenant
	err := s.o.Tenants.LockTenant(ctx, tenantID, func(ctx context.Context) error {
		var err error
		if t, err = s.manage(ctx, p, tenantID); err != nil {
			return err
		}
		t.Endpoint, err = work(ctx)
		return err
	})
	if errors.Is(err, domain.ErrUnavailable) {
		s.o.Later(tenantID) // it may have been changed nevertheless
	}
	if err != nil {
		return fmt.Errorf("change endpoint: %w", err)
	}
	s.o.Directory.Put(t)
	settling, cancel := context.WithTimeout(ctx, settleWait)
	defer cancel()
	if err := s.o.Settler.Settle(settling, tenantID); err != nil {
		s.o.Log.InfoContext(domain.WithTenantID(ctx, tenantID), "change of the endpoint is left to the reconciler", slog.Any("error", err))
		s.o.Later(tenantID)
	}
	return nil
}

// access returns the tenant if the caller may access it.
func (s *Service) access(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.Tenant, error) {
	t, err := s.o.Tenants.FindTenant(ctx, id)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return domain.Tenant{}, domain.TenantNotFound()
	case err != nil:
		return domain.Tenant{}, fmt.Errorf("read tenant: %w", err)
	case t.Gone() || !p.MayAccess(&t):
		return domain.Tenant{}, domain.TenantNotFound()
	}
	return t, nil
}

// manage returns the tenant if the caller may change it.
func (s *Service) manage(ctx context.Context, p domain.Principal, id uuid.UUID) (domain.Tenant, error) {
	t, err := s.access(ctx, p, id)
	if err == nil && !p.MayManage(&t) {
		return domain.Tenant{}, domain.New(domain.ErrForbidden, "forbidden", "You may not do this.")
	}
	return t, err
}
