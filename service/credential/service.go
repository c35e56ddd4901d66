package credential

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/janitor"
	"lanekeeper/pkg/logger"
)

const (
	// passwordLength is in bytes, before they are made text.
	passwordLength = 32
	// cleanUpEvery and unfinished are how long what a crash left behind may stay, which
	// is promised to be gone within 30 s. No call is under way for longer than
	// unfinished.
	cleanUpEvery = 5 * time.Second
	unfinished   = 12 * time.Second
	// cleanUpTimeout is for one tenant, cleanUpAtATime how many are looked at in one
	// round, and revokeTimeout how long a tenant that is being deleted waits.
	cleanUpTimeout = 5 * time.Second
	cleanUpAtATime = 200
	revokeTimeout  = 2 * time.Second
	// undoTimeout is for taking back what could not be finished.
	undoTimeout = 2 * time.Second
)

// Options configure NewService.
type Options struct {
	Records domain.AMQPCredentialRepository
	Tenants domain.TenantRepository
	// Users are those of the broker; nil where the service cannot manage them.
	Users domain.BrokerUsers
	Log   *slog.Logger
}

// Service has the AMQP credentials of tenants. Its methods are safe for concurrent use.
type Service struct{ o Options }

// NewService returns a Service.
func NewService(o Options) *Service { return &Service{o: o} }

// Issue makes the tenant's credentials, or gives those that it has another password and
// ends their connections. The password is nowhere but in the answer. Errors are those of
// finding the tenant, ErrForbidden, also for a key without the scope publish, since who
// has the credentials publishes, ErrConflict for a tenant that is inactive and where
// users of the broker cannot be managed (code "amqp_not_configured"), and
// ErrUnavailable: then nobody knows which password holds, so issue again.
func (s *Service) Issue(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (domain.IssuedAMQP, error) {
	if _, err := domain.Manageable(ctx, s.o.Tenants, p, tenantID); err != nil {
		return domain.IssuedAMQP{}, err //nolint:wrapcheck // says what was read
	}
	if err := p.Permit(domain.RoleMember, domain.ScopePublish); err != nil {
		return domain.IssuedAMQP{}, err //nolint:wrapcheck // is meant for the caller
	}
	if s.o.Users == nil {
		return domain.IssuedAMQP{}, domain.AMQPNotConfigured(nil)
	}
	password := newPassword()
	var record domain.AMQPCredentials
	err := s.o.Tenants.LockTenant(domain.WithTenantID(ctx, tenantID), tenantID, func(ctx context.Context) (err error) {
		record, err = s.issue(ctx, tenantID, password)
		return err
	})
	if err != nil {
		return domain.IssuedAMQP{}, err //nolint:wrapcheck // says what failed
	}
	return domain.IssuedAMQP{AMQPCredentials: record, AMQPAccess: s.o.Users.AMQPAccess(tenantID), Password: password}, nil
}

// issue does it under the tenant's lock.
func (s *Service) issue(ctx context.Context, tenantID uuid.UUID, password string) (domain.AMQPCredentials, error) {
	t, err := s.o.Tenants.FindTenant(ctx, tenantID) // it may have changed before the lock was had
	if err != nil {
		return domain.AMQPCredentials{}, fmt.Errorf("read tenant: %w", err)
	}
	if err := t.AcceptsMessages(); err != nil {
		return domain.AMQPCredentials{}, err //nolint:wrapcheck // is meant for the caller
	}
	begun, err := s.o.Records.BeginAMQPCredentials(ctx, tenantID)
	if err != nil {
		return domain.AMQPCredentials{}, fmt.Errorf("begin: %w", err)
	}
	if err := s.o.Users.GrantAMQP(ctx, tenantID, password); err != nil {
		if begun.State != domain.AMQPReady {
			s.undo(ctx, tenantID, err)
		}
		return domain.AMQPCredentials{}, fmt.Errorf("make user of the broker: %w", err)
	}
	record, err := s.o.Records.FinishAMQPCredentials(ctx, tenantID)
	if err != nil {
		if errors.Is(err, domain.ErrNotFound) { // somebody deleted the record by hand
			s.undo(ctx, tenantID, err)
		}
		return domain.AMQPCredentials{}, fmt.Errorf("finish: %w", err)
	}
	return record, nil
}

// undo takes back what could not be finished because of failed. What it cannot, cleanUp
// does.
func (s *Service) undo(ctx context.Context, tenantID uuid.UUID, failed error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	end := s.end
	if errors.Is(failed, domain.ErrConflict) { // nothing was made, and nothing could be deleted
		end = s.o.Records.DeleteAMQPCredentials
	}
	if err := end(ctx, tenantID); err != nil {
		s.o.Log.InfoContext(ctx, "AMQP credentials that were not finished are to be taken back later", slog.Any("error", err))
	}
}

// end deletes the user, and then the record.
func (s *Service) end(ctx context.Context, tenantID uuid.UUID) error {
	if s.o.Users == nil {
		return domain.AMQPNotConfigured(nil)
	}
	if err := s.o.Users.RevokeAMQP(ctx, tenantID); err != nil {
		return fmt.Errorf("delete user of the broker: %w", err)
	}
	if err := s.o.Records.DeleteAMQPCredentials(ctx, tenantID); err != nil {
		return fmt.Errorf("delete record: %w", err)
	}
	return nil
}

// Get returns the credentials of a tenant, without the password. Errors are those of
// finding the tenant, ErrForbidden, and ErrNotFound where there are none.
func (s *Service) Get(ctx context.Context, p domain.Principal, tenantID uuid.UUID) (domain.IssuedAMQP, error) {
	if _, err := domain.Manageable(ctx, s.o.Tenants, p, tenantID); err != nil {
		return domain.IssuedAMQP{}, err //nolint:wrapcheck // says what was read
	}
	record, err := s.o.Records.FindAMQPCredentials(ctx, tenantID)
	switch {
	case err != nil:
		return domain.IssuedAMQP{}, fmt.Errorf("find AMQP credentials: %w", err)
	case record.State != domain.AMQPReady:
		return domain.IssuedAMQP{}, domain.AMQPNotFound()
	case s.o.Users == nil: // they were made when it could
		return domain.IssuedAMQP{}, domain.AMQPNotConfigured(nil)
	}
	return domain.IssuedAMQP{AMQPCredentials: record, AMQPAccess: s.o.Users.AMQPAccess(tenantID)}, nil
}

// Revoke ends the credentials of a tenant and their connections. Errors are those of
// finding the tenant, ErrForbidden, ErrNotFound where there are none, and where the
// broker cannot be asked ErrUnavailable: then it goes on by itself.
func (s *Service) Revoke(ctx context.Context, p domain.Principal, tenantID uuid.UUID) error {
	if _, err := domain.Manageable(ctx, s.o.Tenants, p, tenantID); err != nil {
		return err //nolint:wrapcheck // says what was read
	}
	return s.o.Tenants.LockTenant(domain.WithTenantID(ctx, tenantID), tenantID, func(ctx context.Context) error {
		return s.revoke(ctx, tenantID)
	})
}

// RevokeOf ends the credentials of a tenant that is being deleted, if it has any. Its
// caller holds the tenant's lock. It waits a short time, and what is not done by then
// Run does: neither a broker nor a record holds up a deletion.
func (s *Service) RevokeOf(ctx context.Context, tenantID uuid.UUID) {
	limited, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	_, err := s.o.Records.FindAMQPCredentials(limited, tenantID)
	if err == nil {
		err = s.revoke(limited, tenantID)
	}
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		s.o.Log.WarnContext(ctx, "AMQP credentials of a tenant that is being deleted are still there, and tried again", slog.Any("error", err))
	}
}

// revoke records that the credentials are to end, and ends them. Its caller holds the
// tenant's lock.
func (s *Service) revoke(ctx context.Context, tenantID uuid.UUID) error {
	if err := s.o.Records.RevokeAMQPCredentials(ctx, tenantID); err != nil {
		return fmt.Errorf("record: %w", err)
	}
	return s.end(ctx, tenantID)
}

// Run ends what was left behind until ctx ends. Call it once.
func (s *Service) Run(ctx context.Context) {
	failures := logger.Changes{Remind: time.Minute}
	janitor.Run(ctx, cleanUpEvery, func(ctx context.Context) {
		switch err := s.cleanUp(ctx); {
		case err == nil:
			failures.Recovered()
		case ctx.Err() == nil && failures.Failed(domain.CodeOf(err)):
			s.o.Log.WarnContext(ctx, "AMQP credentials that have to be revoked are still there", slog.Any("error", err))
		}
	})
}

// cleanUp ends the credentials that nobody finished, or whose tenant is gone. One that
// fails does not hold up the others.
func (s *Service) cleanUp(ctx context.Context) error {
	due, err := s.o.Records.ListDueAMQPCredentials(ctx, unfinished, cleanUpAtATime)
	if err != nil {
		return fmt.Errorf("list AMQP credentials: %w", err)
	}
	for _, id := range due {
		if one := s.cleanUpOne(ctx, id); one != nil {
			err = fmt.Errorf("revoke those of %s: %w", id, one)
			if errors.Is(one, domain.ErrUnavailable) {
				break // the others would wait as long
			}
		}
	}
	return err
}

func (s *Service) cleanUpOne(ctx context.Context, id uuid.UUID) error {
	ctx, cancel := context.WithTimeout(domain.WithTenantID(ctx, id), cleanUpTimeout)
	defer cancel()
	err := s.o.Tenants.LockTenant(ctx, id, func(ctx context.Context) error {
		still, err := s.due(ctx, id)
		if err != nil || !still {
			return err
		}
		return s.revoke(ctx, id)
	})
	if err == nil || errors.Is(err, domain.ErrNotFound) {
		return nil
	}
	late, stop := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer stop()
	return errors.Join(err, s.o.Records.PostponeAMQPCredentials(late, id))
}

// due reports whether the credentials still have to be revoked now that the lock is had:
// a call may have finished them meanwhile.
func (s *Service) due(ctx context.Context, id uuid.UUID) (bool, error) {
	record, err := s.o.Records.FindAMQPCredentials(ctx, id)
	if err != nil {
		return false, fmt.Errorf("find AMQP credentials: %w", err)
	}
	if record.State != domain.AMQPReady {
		return true, nil // whoever made them had the lock
	}
	t, err := s.o.Tenants.FindTenant(ctx, id)
	if errors.Is(err, domain.ErrNotFound) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read tenant: %w", err)
	}
	return t.Gone(), nil
}

// newPassword returns one that nobody guesses, of characters that need no escaping in a
// URL.
func newPassword() string {
	random := make([]byte, passwordLength)
	_, _ = rand.Read(random) // never fails, see its documentation
	return base64.RawURLEncoding.EncodeToString(random)
}
