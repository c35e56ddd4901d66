// Package auth knows who calls: it keeps the users, checks passwords, issues
// tokens and verifies them.
package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// DefaultLifetime is how long a token is valid unless Options says
	// otherwise.
	DefaultLifetime = time.Hour
	// MinSecretLength is how many bytes a secret must have (RFC 7518, section
	// 3.2: as many as the hash).
	MinSecretLength = 32
)

// tenantDirectory knows the tenants; it may answer from a cache of some
// seconds.
type tenantDirectory interface {
	Lookup(ctx context.Context, id uuid.UUID) (domain.Tenant, error)
}

// Options is what NewService needs.
type Options struct {
	Users   domain.UserRepository
	Tenants tenantDirectory
	// Secrets returns the secrets: the first signs, all verify. It is asked
	// when a secret is needed for the first time, and again until it has
	// answered without an error; Fixed makes one.
	Secrets func(ctx context.Context) ([][]byte, error)
	// Issuer and Audience are in every token and must match.
	Issuer   string
	Audience string
	// Lifetime of tokens; zero is DefaultLifetime.
	Lifetime time.Duration
	// OpenMode makes callers without a token admin.
	OpenMode bool
	// Cost of hashing passwords; zero is DefaultCost.
	Cost Cost
	// Now is the clock by which time passes; nil is time.Now.
	Now func() time.Time
	// Clock tells the time that tokens speak of, which is the same for all who
	// issue and verify them; nil is Now.
	Clock func() time.Time
	Log   *slog.Logger
}

// Fixed returns a source of secrets that are known from the start.
func Fixed(secrets ...[]byte) func(context.Context) ([][]byte, error) {
	return func(context.Context) ([][]byte, error) { return secrets, nil }
}

// Service keeps users and tokens. Its methods are safe for concurrent use.
type Service struct {
	users    domain.UserRepository
	tenants  tenantDirectory
	openMode bool
	now      func() time.Time
	clock    func() time.Time
	log      *slog.Logger

	tokens    *tokens
	passwords *passwords
	accounts  *accounts
	byAccount *limiter
	byAddress *limiter
}

// NewService returns a Service.
func NewService(o Options) *Service {
	now := o.Now
	if now == nil {
		now = time.Now
	}
	clock := o.Clock
	if clock == nil {
		clock = now
	}
	return &Service{
		users:     o.Users,
		tenants:   o.Tenants,
		openMode:  o.OpenMode,
		now:       now,
		clock:     clock,
		log:       o.Log,
		tokens:    newTokens(o.Secrets, o.Issuer, o.Audience, cmp.Or(o.Lifetime, DefaultLifetime), clock),
		passwords: newPasswords(cmp.Or(o.Cost, DefaultCost())),
		accounts:  newAccounts(o.Users, now),
		byAccount: newLimiter(accountRate, accountBurst, now),
		byAddress: newLimiter(addressRate, addressBurst, now),
	}
}

// Authenticate returns who sent the Authorization header, which may carry its
// token with or without "Bearer ". Without a header it is the built-in admin in
// open mode. What the caller may do comes from the user's row, at most some
// seconds old, not from the token. Errors are ErrUnauthenticated, and
// ErrUnavailable when it cannot be found out.
func (s *Service) Authenticate(ctx context.Context, authorization string) (domain.Principal, error) {
	if authorization == "" {
		if s.openMode {
			return domain.Principal{Role: domain.RoleAdmin}, nil
		}
		return domain.Principal{}, domain.New(domain.ErrUnauthenticated, "token_missing", "Send a token in the header Authorization.")
	}
	token, err := s.tokens.verify(ctx, bearer(authorization))
	if err != nil {
		return domain.Principal{}, err
	}
	return s.holder(ctx, token)
}

// Recheck returns the caller p as it is now, for calls that last: with the role
// and the tenant of its row, at most some seconds old, or as they were known
// last while the database is away. It is an ErrUnauthenticated once the user,
// its tenant or the token are not valid any more, or p.ExpiresAt has passed
// (without the leeway that Authenticate gives); an ErrUnavailable when that
// cannot be found out. The built-in admin of open mode stays what it is as
// long as there is open mode.
func (s *Service) Recheck(ctx context.Context, p domain.Principal) (domain.Principal, error) {
	if !p.ExpiresAt.IsZero() && !s.clock().Before(p.ExpiresAt) {
		return domain.Principal{}, tokenExpired(nil)
	}
	if p.UserID == uuid.Nil {
		if !s.openMode {
			return domain.Principal{}, tokenRevoked()
		}
		return domain.Principal{Role: domain.RoleAdmin, ExpiresAt: p.ExpiresAt}, nil
	}
	return s.holder(ctx, verified{userID: p.UserID, version: p.TokenVersion, expires: p.ExpiresAt})
}

// Forget tells that another replica may have changed the user: the next call of
// it asks the database.
func (s *Service) Forget(userID uuid.UUID) { s.accounts.forget(userID) }

// ForgetAll tells that other replicas may have changed any user. Unlike with
// Forget, what is known goes on being used while the database is away.
func (s *Service) ForgetAll() { s.accounts.distrust() }

// holder returns who holds a token, as it is now.
func (s *Service) holder(ctx context.Context, token verified) (domain.Principal, error) {
	user, err := s.accounts.find(ctx, token.userID)
	switch {
	case errors.Is(err, domain.ErrNotFound):
		return domain.Principal{}, tokenRevoked()
	case err != nil:
		return domain.Principal{}, fmt.Errorf("find user of token: %w", err)
	case user.TokenVersion != token.version:
		return domain.Principal{}, tokenRevoked()
	}
	gone, err := s.tenantGone(ctx, user.TenantID)
	if err != nil {
		return domain.Principal{}, fmt.Errorf("find tenant of user: %w", err)
	}
	if gone {
		return domain.Principal{}, tokenRevoked()
	}
	return domain.Principal{
		UserID: user.ID, Role: user.Role, TenantID: user.TenantID, TokenVersion: token.version, ExpiresAt: token.expires,
	}, nil
}

// tenantGone tells whether a user's tenant was deleted; no tenant was not.
func (s *Service) tenantGone(ctx context.Context, id uuid.UUID) (bool, error) {
	if id == uuid.Nil {
		return false, nil
	}
	tenant, err := s.tenants.Lookup(ctx, id)
	if errors.Is(err, domain.ErrNotFound) {
		return true, nil
	}
	return err == nil && tenant.Gone(), err
}

// bearer returns the header without the name of its scheme, if it has it.
func bearer(authorization string) string {
	if scheme, token, ok := strings.Cut(authorization, " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return authorization
}

func tokenExpired(cause error) error {
	return domain.Wrap(cause, domain.ErrUnauthenticated, "token_expired", "The token has expired; log in again.")
}

func tokenRevoked() error {
	return domain.New(domain.ErrUnauthenticated, "token_revoked", "The token is not valid any more; log in again.")
}
