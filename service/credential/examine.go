package credential

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

// examinePage is how many records are read at a time.
const examinePage = 500

// Examine reports credentials that should not be there any more, those whose user is
// not there, and users that nobody has a record of. With fix it revokes those of the
// first and the third kind; of the second only a new password helps. It looks at the
// virtual host of the service only. The error is about examining.
func (s *Service) Examine(ctx context.Context, fix bool, report func(domain.AMQPFinding)) error {
	users := s.granted(ctx, report)
	for after := uuid.Nil; ; {
		page, err := s.o.Records.ListAMQPCredentials(ctx, after, examinePage)
		if err != nil {
			return fmt.Errorf("list records: %w", err)
		}
		for _, record := range page {
			after = record.TenantID
			if err := s.examine(ctx, record, users, fix, report); err != nil {
				return err
			}
			delete(users, record.TenantID)
		}
		if len(page) < examinePage {
			break
		}
	}
	for id := range users {
		if _, err := s.o.Records.FindAMQPCredentials(ctx, id); !errors.Is(err, domain.ErrNotFound) {
			continue // it is just being made
		}
		s.repair(ctx, fix, domain.AMQPFinding{TenantID: id, Problem: "user of the broker without a record of AMQP credentials"}, report)
	}
	return nil
}

// granted returns the tenants that have a user; nil where that cannot be asked.
func (s *Service) granted(ctx context.Context, report func(domain.AMQPFinding)) map[uuid.UUID]struct{} {
	if s.o.Users == nil {
		return nil
	}
	ids, err := s.o.Users.GrantedAMQP(ctx)
	if err != nil {
		if !errors.Is(err, domain.ErrConflict) { // else it is configured for policies only
			report(domain.AMQPFinding{Problem: "AMQP credentials cannot be compared with the users of the broker, whose management API does not answer"})
		}
		return nil
	}
	users := make(map[uuid.UUID]struct{}, len(ids))
	for _, id := range ids {
		users[id] = struct{}{}
	}
	return users
}

func (s *Service) examine(ctx context.Context, record domain.AMQPCredentials, users map[uuid.UUID]struct{}, fix bool, report func(domain.AMQPFinding)) error {
	due, err := s.due(ctx, record.TenantID)
	if errors.Is(err, domain.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if due {
		s.repair(ctx, fix, domain.AMQPFinding{TenantID: record.TenantID, Problem: "AMQP credentials that have to be revoked"}, report)
		return nil
	}
	if _, there := users[record.TenantID]; users != nil && !there {
		report(domain.AMQPFinding{TenantID: record.TenantID, Problem: "AMQP credentials whose user the broker does not have; issue them again"})
	}
	return nil
}

func (s *Service) repair(ctx context.Context, fix bool, f domain.AMQPFinding, report func(domain.AMQPFinding)) {
	if fix {
		f.Err = s.o.Tenants.LockTenant(ctx, f.TenantID, func(ctx context.Context) error {
			if err := s.o.Records.RevokeAMQPCredentials(ctx, f.TenantID); err != nil && !errors.Is(err, domain.ErrNotFound) {
				return fmt.Errorf("record: %w", err)
			}
			return s.end(ctx, f.TenantID)
		})
		f.Repaired = f.Err == nil
	}
	report(f)
}
