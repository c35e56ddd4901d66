package endpoint

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/webhook"
)

// confirmTimeout is for recording that a key was used.
const confirmTimeout = time.Second

// keyRepository is the part of domain.IdempotencyRepository the Service needs.
type keyRepository interface {
	ClaimKeys(ctx context.Context, claims []domain.IdempotencyClaim) ([]domain.IdempotencyGrant, error)
	ConfirmKeys(ctx context.Context, scope uuid.UUID, keys []domain.ConfirmedKey) error
}

// sender sends one message to one URL.
type sender interface {
	Send(ctx context.Context, r webhook.Request) webhook.Result
}

// Options configure New.
type Options struct {
	Tenants   domain.TenantFinder
	Endpoints domain.EndpointRepository
	Keys      keyRepository
	// Sender sends tests.
	Sender sender
	// AllowPrivate lets endpoints be in private networks and on this machine.
	AllowPrivate bool
	// AllowLocal lets endpoints be on this machine, where their URL names it.
	AllowLocal bool
	// Limits are those of owners; nil for none.
	Limits domain.LimitFinder
	// Now returns the current time; nil means time.Now.
	Now func() time.Time
	Log *slog.Logger
}

// Service is what callers may do with endpoints. A tenant that the caller may not
// access, or that is being deleted, is ErrNotFound, and so is an endpoint that the
// tenant does not have; a tenant that it may access but not manage is ErrForbidden to
// change. While the database is away everything is ErrUnavailable. It is safe for
// concurrent use.
type Service struct {
	o     Options
	gate  gate
	rules domain.EndpointRules
}

// New returns a Service.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Limits == nil {
		o.Limits = domain.NoLimits{}
	}
	s := &Service{o: o, gate: gate{o.Tenants}, rules: domain.EndpointRules{CheckHeader: webhook.CheckHeader}}
	switch {
	case o.AllowPrivate:
	case o.AllowLocal:
		s.rules.CheckURL = webhook.CheckPublicOrLocal
	default:
		s.rules.CheckURL = webhook.CheckPublic
	}
	return s
}

// Create makes an endpoint, and returns it with its secret, which callers are shown
// this once. With a key that was used before it returns the endpoint that was made
// then, and replayed is true. Errors are ErrInvalid for the values and for a key that
// came with another body, ErrConflict (codes external_id_taken, cursor_ahead, and
// endpoint_deleted when the one of this key is gone), ErrLimited when the tenant has
// as many as it may, and ErrUnavailable while it is provisioned.
func (s *Service) Create(ctx context.Context, p domain.Principal, tenantID uuid.UUID, c *domain.EndpointChange, key domain.IdempotencyKey) (r domain.EndpointReport, replayed bool, err error) {
	tenant, err := s.gate.mayAdd(ctx, p, tenantID)
	if err != nil {
		return r, false, err
	}
	wanted, err := domain.NewEndpoint(tenantID, c, s.rules)
	if err != nil {
		return r, false, err
	}
	if key.Key == "" {
		r, err = s.insert(ctx, &tenant, &wanted, c)
		return r, false, err
	}
	if err := domain.CheckIdempotencyKey(key.Key, "Idempotency-Key"); err != nil {
		return r, false, err
	}
	// A message that the tenant published with this key and the same body is not it.
	hash := sha256.Sum256(append([]byte("endpoint:"), key.Hash[:]...))
	grants, err := s.o.Keys.ClaimKeys(ctx, []domain.IdempotencyClaim{{Scope: tenantID, Key: key.Key, Hash: hash, ID: wanted.ID}})
	switch {
	case err != nil:
		return r, false, fmt.Errorf("claim idempotency key: %w", err)
	case grants[0].Mismatch:
		return r, false, domain.IdempotencyMismatch()
	}
	wanted.ID = grants[0].ID
	if grants[0].Confirmed {
		r, err = s.read(ctx, tenantID, wanted.ID)
		if errors.Is(err, domain.ErrNotFound) {
			err = domain.New(domain.ErrConflict, "endpoint_deleted", "The endpoint that this request created has been deleted.")
		}
		return r, err == nil, err
	}
	if r, err = s.insert(ctx, &tenant, &wanted, c); err == nil {
		s.confirm(ctx, tenantID, domain.ConfirmedKey{Key: key.Key, ID: wanted.ID})
	}
	return r, false, err
}

// confirm records that the key was used. Without that, another call with it inserts
// the same endpoint again, which changes nothing.
func (s *Service) confirm(ctx context.Context, tenantID uuid.UUID, key domain.ConfirmedKey) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), confirmTimeout)
	defer cancel()
	if err := s.o.Keys.ConfirmKeys(ctx, tenantID, []domain.ConfirmedKey{key}); err != nil {
		s.o.Log.WarnContext(ctx, "idempotency key could not be confirmed", slog.Any("error", err))
	}
}

func (s *Service) insert(ctx context.Context, t *domain.Tenant, wanted *domain.Endpoint, c *domain.EndpointChange) (domain.EndpointReport, error) {
	at := c.Cursor()
	at.MaxEndpoints = s.o.Limits.LimitsOf(ctx, t.OwnerID).EndpointsPerTenant
	e, err := s.o.Endpoints.InsertEndpoint(ctx, *wanted, at)
	if err != nil {
		return domain.EndpointReport{}, fmt.Errorf("insert endpoint: %w", err)
	}
	return s.report(ctx, &e)
}

// Upsert makes the endpoint that the tenant's owner calls externalID, as Create does,
// or changes it to what is said; what nothing is said of gets its default, but the
// secret stays. Fresh reports that it was made. Errors are those of Create and
// Change.
func (s *Service) Upsert(ctx context.Context, p domain.Principal, tenantID uuid.UUID, externalID string, c *domain.EndpointChange) (r domain.EndpointReport, fresh bool, err error) {
	tenant, err := s.gate.mayAdd(ctx, p, tenantID)
	if err != nil {
		return r, false, err
	}
	if id := c.ExternalID; id.Said && (id.Value == nil || *id.Value != externalID) {
		return r, false, domain.WithFields(domain.FieldError{Pointer: "/external_id", Message: "must be that of the path, or left out"})
	}
	full := c.WithDefaults()
	full.ExternalID = domain.SetTo(externalID)
	there, err := s.o.Endpoints.FindEndpointByExternalID(ctx, tenantID, externalID)
	if errors.Is(err, domain.ErrNotFound) {
		var wanted domain.Endpoint
		if wanted, err = domain.NewEndpoint(tenantID, &full, s.rules); err != nil {
			return r, false, err
		}
		if r, err = s.insert(ctx, &tenant, &wanted, c); !errors.Is(err, domain.ErrConflict) {
			return r, err == nil, err
		}
		conflict := err
		there, err = s.o.Endpoints.FindEndpointByExternalID(ctx, tenantID, externalID) // somebody may have made it meanwhile
		if errors.Is(err, domain.ErrNotFound) {
			return r, false, conflict
		}
	}
	if err != nil {
		return r, false, fmt.Errorf("find endpoint: %w", err)
	}
	r, err = s.apply(ctx, &there, &full)
	return r, false, err
}

// Get returns one endpoint.
func (s *Service) Get(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.EndpointReport, error) {
	if _, err := s.gate.access(ctx, p, tenantID); err != nil {
		return domain.EndpointReport{}, err
	}
	return s.read(ctx, tenantID, id)
}

// List returns all endpoints of a tenant, oldest first.
func (s *Service) List(ctx context.Context, p domain.Principal, tenantID uuid.UUID) ([]domain.EndpointReport, error) {
	if _, err := s.gate.access(ctx, p, tenantID); err != nil {
		return nil, err
	}
	endpoints, err := s.o.Endpoints.ListEndpoints(ctx, tenantID)
	if err != nil {
		return nil, fmt.Errorf("list endpoints: %w", err)
	}
	ids := make([]uuid.UUID, len(endpoints))
	for i := range endpoints {
		ids[i] = endpoints[i].ID
	}
	progress, err := s.o.Endpoints.EndpointProgress(ctx, tenantID, ids)
	if err != nil {
		return nil, fmt.Errorf("read progress: %w", err)
	}
	reports := make([]domain.EndpointReport, 0, len(endpoints))
	for i := range endpoints {
		if p, there := progress[endpoints[i].ID]; there { // else it was deleted meanwhile
			reports = append(reports, domain.EndpointReport{Endpoint: endpoints[i], Progress: p})
		}
	}
	return reports, nil
}

// Change changes an endpoint. Errors are those of domain.EndpointChange.Apply, and
// ErrConflict with code external_id_taken.
func (s *Service) Change(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID, c *domain.EndpointChange) (domain.EndpointReport, error) {
	e, err := s.managed(ctx, p, tenantID, id)
	if err != nil {
		return domain.EndpointReport{}, err
	}
	return s.apply(ctx, &e, c)
}

// apply changes an endpoint that was just read, unless that makes no difference.
func (s *Service) apply(ctx context.Context, e *domain.Endpoint, c *domain.EndpointChange) (domain.EndpointReport, error) {
	return s.change(ctx, e, func(e *domain.Endpoint) error { return c.Apply(e, s.rules, s.o.Now().UTC()) })
}

// Delete deletes an endpoint and returns how many messages it had not got.
func (s *Service) Delete(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (open int64, err error) {
	if _, err := s.gate.manage(ctx, p, tenantID); err != nil {
		return 0, err
	}
	if open, err = s.o.Endpoints.DeleteEndpoint(ctx, tenantID, id); err != nil {
		return 0, fmt.Errorf("delete endpoint: %w", err)
	}
	return open, nil
}

// managed returns an endpoint that the caller may change.
func (s *Service) managed(ctx context.Context, p domain.Principal, tenantID, id uuid.UUID) (domain.Endpoint, error) {
	if _, err := s.gate.manage(ctx, p, tenantID); err != nil {
		return domain.Endpoint{}, err
	}
	e, err := s.o.Endpoints.FindEndpoint(ctx, tenantID, id)
	if err != nil {
		return domain.Endpoint{}, fmt.Errorf("find endpoint: %w", err)
	}
	return e, nil
}

// read returns an endpoint and how far deliveries to it are.
func (s *Service) read(ctx context.Context, tenantID, id uuid.UUID) (domain.EndpointReport, error) {
	e, err := s.o.Endpoints.FindEndpoint(ctx, tenantID, id)
	if err != nil {
		return domain.EndpointReport{}, fmt.Errorf("find endpoint: %w", err)
	}
	return s.report(ctx, &e)
}

func (s *Service) report(ctx context.Context, e *domain.Endpoint) (domain.EndpointReport, error) {
	progress, err := s.o.Endpoints.EndpointProgress(ctx, e.TenantID, []uuid.UUID{e.ID})
	if err != nil {
		return domain.EndpointReport{}, fmt.Errorf("read progress: %w", err)
	}
	p, there := progress[e.ID]
	if !there {
		return domain.EndpointReport{}, domain.EndpointNotFound()
	}
	return domain.EndpointReport{Endpoint: *e, Progress: p}, nil
}

// errUnchanged ends a change that makes no difference.
var errUnchanged = errors.New("the endpoint is like that already")

// change lets work on an endpoint that was just read, and stores what comes out: but
// only if that is another one, because those who deliver begin anew with each
// version.
func (s *Service) change(ctx context.Context, e *domain.Endpoint, work func(*domain.Endpoint) error) (domain.EndpointReport, error) {
	changed, err := s.o.Endpoints.ChangeEndpoint(ctx, e.TenantID, e.ID, func(current *domain.Endpoint) error {
		before := *current
		if err := work(current); err != nil {
			return err
		}
		if reflect.DeepEqual(before, *current) {
			*e = before
			return errUnchanged
		}
		return nil
	})
	switch {
	case errors.Is(err, errUnchanged):
		return s.report(ctx, e)
	case err != nil:
		return domain.EndpointReport{}, fmt.Errorf("change endpoint: %w", err)
	}
	return s.report(ctx, &changed)
}
