package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/repository"
	"lanekeeper/service/auth"
	"lanekeeper/service/fleet"
)

const (
	day = 24 * time.Hour
	// mostDays is how many days from now a key may expire, before the date is looked at.
	mostDays = 100_000
)

var errWhoseKey = errors.New("name a tenant with --tenant, or a user with --owner")

// KeysOf says whose keys are made or listed.
type KeysOf struct {
	// Tenant is the id of a tenant; "" for keys of a user for all its tenants.
	Tenant string
	// Owner is the address of that user; with Tenant, of who makes the key.
	Owner string
}

// AddKey makes an API key and returns it, this once. Expires is a time as RFC 3339 has
// it, days from now such as 90d, or "" for never. Who may use the database may make
// anybody's keys.
func AddKey(ctx context.Context, c config.Config, log *slog.Logger, of KeysOf, name string, scopes []string, expires string) (string, error) {
	var text string
	err := withKeys(ctx, c, log, func(k keys) error {
		p, tenantID, err := k.whose(ctx, of)
		if err != nil {
			return err
		}
		wanted := domain.NewAPIKey{Name: &name, Scopes: scopes}
		if expires != "" {
			expires = KeyExpiry(expires, k.now())
			wanted.ExpiresAt = &expires
		}
		if _, text, err = k.Create(byCommand(ctx), p, tenantID, wanted); err != nil {
			return fmt.Errorf("add key: %w", err)
		}
		return nil
	})
	return text, err
}

// ListKeys returns API keys, without what they are used with.
func ListKeys(ctx context.Context, c config.Config, log *slog.Logger, of KeysOf) ([]domain.APIKey, error) {
	var list []domain.APIKey
	err := withKeys(ctx, c, log, func(k keys) error {
		p, tenantID, err := k.whose(ctx, of)
		if err != nil {
			return err
		}
		if list, err = k.List(ctx, p, tenantID); err != nil {
			return fmt.Errorf("list keys: %w", err)
		}
		return nil
	})
	return list, err
}

// RevokeKey revokes the API key with the given id, which may be anybody's.
func RevokeKey(ctx context.Context, c config.Config, log *slog.Logger, id string) error {
	parsed, err := domain.ParseID(id)
	if err != nil {
		return fmt.Errorf("--id: %w", err)
	}
	return withKeys(ctx, c, log, func(k keys) error {
		if err := k.Revoke(byCommand(ctx), domain.Principal{Role: domain.RoleAdmin}, uuid.Nil, parsed); err != nil {
			return fmt.Errorf("revoke key: %w", err)
		}
		return nil
	})
}

// keys is what commands about API keys need.
type keys struct {
	*auth.APIKeys

	users domain.UserRepository
	now   func() time.Time
}

func withKeys(ctx context.Context, c config.Config, log *slog.Logger, work func(keys) error) error {
	return withStore(ctx, c, nil, func(store *repository.Store) error {
		clock := fleet.NewClock(store, log)
		clock.Ask(ctx)
		return work(keys{newAPIKeys(c, store, clock, log), store, clock.Now})
	})
}

// whose returns who makes or lists keys, and of which tenant; the zero UUID for
// keys of the user.
func (k keys) whose(ctx context.Context, of KeysOf) (p domain.Principal, tenantID uuid.UUID, err error) {
	p.Role = domain.RoleAdmin
	if of.Tenant == "" && of.Owner == "" {
		return p, uuid.Nil, errWhoseKey
	}
	if of.Tenant != "" {
		if tenantID, err = domain.ParseID(of.Tenant); err != nil {
			return p, uuid.Nil, fmt.Errorf("--tenant: %w", err)
		}
	}
	if of.Owner != "" {
		user, err := k.users.FindUserByEmail(ctx, of.Owner)
		if err != nil {
			return p, uuid.Nil, fmt.Errorf("--owner: %w", err)
		}
		p = domain.Principal{UserID: user.ID, Role: user.Role, TenantID: user.TenantID}
	}
	return p, tenantID, nil
}

// KeyExpiry returns the time that days from now, such as 90d, stand for; everything else
// as it is.
func KeyExpiry(text string, now time.Time) string {
	number, found := strings.CutSuffix(text, "d")
	days, err := strconv.ParseUint(number, 10, 32)
	if !found || err != nil {
		return text
	}
	return now.UTC().Add(time.Duration(min(days, mostDays)) * day).Format(time.RFC3339)
}
