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

// Create creates a tenant for the caller. It waits some seconds for the
// tenant to be usable; one that is returned as provisioning will be so by
// itself. With a key that was used before, it returns the tenant created
// then, and replayed is true. Errors are ErrForbidden for viewers, ErrInvalid
// for fields out of range and for a key that came with another body, and
// ErrConflict when the tenant created with this key is deleted by now, and for an
// external id that another tenant of the caller has, and
// ErrUnavailable with code "broker_capacity" when there is no room for more.
func (s *Service) Create(ctx context.Context, p domain.Principal, n domain.NewTenant, key domain.IdempotencyKey) (t domain.Tenant, replayed bool, err error) {
	if !p.Role.Covers(domain.RoleMember) {
		return domain.Tenant{}, false, domain.Forbidden()
	}
	if p.TenantID != uuid.Nil && p.Role != domain.RoleAdmin {
		return domain.Tenant{}, false, domain.New(domain.ErrForbidden, "tenant_bound", "A caller that belongs to a tenant creates none.")
	}
	if n.RetentionDays == nil {
		n.RetentionDays = &s.o.DefaultRetentionDays
	}
	if t, err = n.Build(p.UserID, s.o.DefaultWorkers, s.o.Now().UTC()); err != nil {
		return domain.Tenant{}, false, err
	}
	if key.Key != "" {
		grant, err := s.claim(ctx, p, key, t.ID)
		if err != nil {
			return domain.Tenant{}, false, err
		}
		t.ID = grant.ID
		if grant.Confirmed {
			t, err = s.created(ctx, t.ID)
			return t, err == nil, err
		}
	}
	if err := s.admit(ctx, t.ID, key.Key != ""); err != nil {
		return domain.Tenant{}, false, err
	}
	admit := func(use domain.OwnerUse) error { return s.o.Limits.AdmitTenant(use, t.Workers) }
	if err = s.o.Tenants.InsertTenant(ctx, t, admit); err != nil {
		if key.Key != "" && (errors.Is(err, domain.ErrLimited) || errors.Is(err, domain.ErrNameTaken)) {
			s.release(ctx, p, t.ID, key.Key)
		}
		return domain.Tenant{}, false, fmt.Errorf("insert tenant: %w", err)
	}
	s.o.Directory.Put(t)
	reached, err := s.provision(ctx, t)
	if errors.Is(err, domain.ErrNoCapacity) && sameAttempt(&t, &reached) {
		s.undo(ctx, p, t.ID, key.Key)
		return domain.Tenant{}, false, err
	}
	t = reached
	if key.Key != "" {
		s.confirm(ctx, p, key.Key, t.ID)
	}
	if t.Gone() { // an earlier attempt with this key made it, and it was deleted since
		return domain.Tenant{}, false, goneAgain()
	}
	return t, false, nil
}

// putAttempts is how often Put looks again, because tenants come and go meanwhile.
const putAttempts = 5

// Put creates the caller's own tenant with this external id, as Create does, or changes
// the one that there is, where it differs from what is said; what nothing is said of
// stays as it is. Made reports that it was created. However many calls are made at once,
// there is one tenant. Errors are those of Create, Change and SetWorkers; a key needs the
// scope to manage where it changes something.
func (s *Service) Put(ctx context.Context, p domain.Principal, externalID string, n domain.NewTenant, c domain.TenantChange) (t domain.Tenant, made bool, err error) {
	if err := domain.CheckExternalID("external_id", externalID); err != nil {
		return domain.Tenant{}, false, err
	}
	if said := n.ExternalID; said.Said && (said.Value == nil || *said.Value != externalID) {
		return domain.Tenant{}, false, domain.WithFields(domain.FieldError{Pointer: "/external_id", Message: "must be that of the path, or left out"})
	}
	n.ExternalID = domain.SetTo(externalID)
	for range putAttempts {
		if t, err = s.o.Tenants.FindTenantByExternalID(ctx, p.UserID, externalID); err == nil {
			if t, err = s.putChange(ctx, p, t, c, n.Workers); !errors.Is(err, domain.ErrNotFound) {
				return t, false, err
			}
			continue // it was deleted, or renamed, meanwhile
		}
		if !errors.Is(err, domain.ErrNotFound) {
			return domain.Tenant{}, false, fmt.Errorf("find tenant: %w", err)
		}
		t, _, err = s.Create(ctx, p, n, domain.IdempotencyKey{})
		if err == nil {
			return t, true, nil
		}
		refused := err
		if !errors.Is(err, domain.ErrNameTaken) && !errors.Is(err, domain.ErrLimited) {
			return domain.Tenant{}, false, refused
		}
		// Somebody else has made it meanwhile, who may have used up what there was left.
		if _, err = s.o.Tenants.FindTenantByExternalID(ctx, p.UserID, externalID); err != nil && errors.Is(refused, domain.ErrLimited) {
			return domain.Tenant{}, false, refused
		}
	}
	return domain.Tenant{}, false, domain.New(domain.ErrConflict, "external_id_contended", "The tenant with this external id was made and deleted several times meanwhile; try again.")
}

// putChange makes the tenant be as is said, which is there already, and waits for what
// its consumer has to do for that.
func (s *Service) putChange(ctx context.Context, p domain.Principal, t domain.Tenant, c domain.TenantChange, workers *int) (domain.Tenant, error) {
	apply := func(t *domain.Tenant) error {
		if workers != nil {
			if err := t.SetWorkers(*workers); err != nil {
				return err
			}
		}
		return c.Apply(t)
	}
	wanted := t
	if err := apply(&wanted); err != nil {
		return domain.Tenant{}, err
	}
	if domain.SameTenant(&wanted, &t) {
		if t.Status != domain.TenantProvisioning {
			return t, nil
		}
		reached, err := s.provision(ctx, t) // whoever makes it is not done
		if err == nil && reached.Gone() {
			err = domain.TenantNotFound()
		}
		return reached, err
	}
	if err := p.Permit(domain.RoleMember, domain.ScopeManage); err != nil {
		return domain.Tenant{}, err //nolint:wrapcheck // says what is missing
	}
	changed, err := s.grow(ctx, p, t.ID, apply, s.admitWorkers)
	if err != nil {
		return domain.Tenant{}, err
	}
	var steps []func(context.Context, uuid.UUID) error
	if changed.Workers != t.Workers {
		steps = append(steps, s.o.Provisioner.Resize)
	}
	if changed.Status != t.Status {
		steps = append(steps, s.o.Provisioner.Settle)
	}
	s.follow(ctx, t.ID, steps...)
	return changed, nil
}

// admit returns nil when there is room for the tenant, or when an earlier
// attempt with the same key has made it.
func (s *Service) admit(ctx context.Context, id uuid.UUID, again bool) error {
	err := s.o.Capacity.Admit(ctx)
	if err == nil || !again {
		return err
	}
	if _, findErr := s.o.Tenants.FindTenant(ctx, id); findErr == nil {
		return nil
	}
	return err
}

// provision waits for the new tenant to be usable and returns it as it is
// when the time is up. An ErrNoCapacity says that the broker does not allow it;
// anything else is left to the reconciler.
func (s *Service) provision(ctx context.Context, t domain.Tenant) (domain.Tenant, error) {
	limited, cancel := context.WithTimeout(ctx, createWait)
	defer cancel()
	reached, err := s.o.Provisioner.ConvergeNew(limited, t.ID)
	if reached.ID != t.ID { // it could not even be read
		reached = t
	}
	switch {
	case errors.Is(err, domain.ErrNoCapacity):
		s.o.Log.WarnContext(domain.WithTenantID(ctx, t.ID), "the broker has no room for a new tenant", slog.Any("error", err))
		return reached, err
	case err != nil:
		s.leaveToReconciler(ctx, t.ID, err)
	}
	return reached, nil
}

// sameAttempt reports whether the tenant that was reached is the one that this
// call made, and not one that an earlier call with the same key left, which may
// hold messages by now.
func sameAttempt(made, reached *domain.Tenant) bool {
	return reached.CreatedAt.Sub(made.CreatedAt).Abs() < time.Millisecond
}

// undo removes a tenant that no caller was told of, and lets its key be used anew.
// What does not succeed in time is finished by the reconciler.
func (s *Service) undo(ctx context.Context, p domain.Principal, id uuid.UUID, key string) {
	ctx, cancel := context.WithTimeout(domain.WithTenantID(context.WithoutCancel(ctx), id), undoWait)
	defer cancel()
	t, err := s.o.Tenants.ChangeTenant(ctx, id, func(t *domain.Tenant) error { return t.Transition(domain.TenantDeleting) })
	if err != nil {
		// It goes on being provisioned, and works once there is room.
		s.leaveToReconciler(ctx, id, err)
		return
	}
	s.o.Directory.Put(t)
	if key != "" {
		s.release(ctx, p, id, key)
	}
	if _, err := s.o.Reconciler.Await(ctx, id); err != nil {
		s.leaveToReconciler(ctx, id, err)
	}
}

// release forgets the claim of a key with which nothing was made.
func (s *Service) release(ctx context.Context, p domain.Principal, id uuid.UUID, key string) {
	if err := s.o.Keys.ReleaseKey(ctx, p.UserID, domain.ConfirmedKey{Key: key, ID: id}); err != nil {
		s.o.Log.WarnContext(ctx, "idempotency key of a tenant that was refused could not be released", slog.Any("error", err))
	}
}

func (s *Service) claim(ctx context.Context, p domain.Principal, key domain.IdempotencyKey, id uuid.UUID) (domain.IdempotencyGrant, error) {
	if err := domain.CheckIdempotencyKey(key.Key, "Idempotency-Key"); err != nil {
		return domain.IdempotencyGrant{}, err
	}
	grants, err := s.o.Keys.ClaimKeys(ctx, []domain.IdempotencyClaim{{Scope: p.UserID, Key: key.Key, Hash: key.Hash, ID: id}})
	if err != nil {
		return domain.IdempotencyGrant{}, fmt.Errorf("claim idempotency key: %w", err)
	}
	if grants[0].Mismatch {
		return domain.IdempotencyGrant{}, domain.IdempotencyMismatch()
	}
	return grants[0], nil
}

// confirm records that the key was used. Without that, another call with it
// goes through all the steps again, under the same id.
func (s *Service) confirm(ctx context.Context, p domain.Principal, key string, id uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), confirmTimeout)
	defer cancel()
	if err := s.o.Keys.ConfirmKeys(ctx, p.UserID, []domain.ConfirmedKey{{Key: key, ID: id}}); err != nil {
		s.o.Log.WarnContext(ctx, "idempotency key could not be confirmed", slog.Any("error", err))
	}
}

// created returns the tenant that an earlier call with the same key created.
func (s *Service) created(ctx context.Context, id uuid.UUID) (domain.Tenant, error) {
	t, err := s.o.Tenants.FindTenant(ctx, id)
	switch {
	case errors.Is(err, domain.ErrNotFound), err == nil && t.Gone():
		return domain.Tenant{}, goneAgain()
	case err != nil:
		return domain.Tenant{}, fmt.Errorf("read tenant: %w", err)
	}
	return t, nil
}

func goneAgain() error {
	return domain.New(domain.ErrConflict, "tenant_deleted", "The tenant that this request created has been deleted.")
}
