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

// Authenticate returns the sender of the Authorization header, which may carry its
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

// Login checks a password and returns a token. RemoteAddr is the address the
// request came from. Unknown users, users without a password and wrong
// passwords are one ErrUnauthenticated and take the same time; other errors
// are ErrLimited after too many of them, ErrForbidden for a user whose tenant
// was deleted, and ErrUnavailable.
func (s *Service) Login(ctx context.Context, email, password, remoteAddr string) (domain.Grant, error) {
	email, valid := domain.NormalizeEmail(email)
	if !valid || len(password) > domain.MaxPasswordLength {
		return domain.Grant{}, badCredentials()
	}
	addressDone, err := s.byAddress.begin(addressName(remoteAddr))
	if err != nil {
		return domain.Grant{}, err
	}
	accountDone, err := s.byAccount.begin(email)
	if err != nil {
		addressDone(false)
		return domain.Grant{}, err
	}
	user, err := s.checkPassword(ctx, email, password)
	failed := errors.Is(err, domain.ErrUnauthenticated)
	addressDone(failed)
	accountDone(failed)
	if err != nil {
		return domain.Grant{}, err
	}
	return s.grant(ctx, &user)
}

// IssueFor returns a token for the user with an email address, for those who
// have access to the database anyway. Errors are ErrNotFound and
// ErrUnavailable.
func (s *Service) IssueFor(ctx context.Context, email string) (domain.Grant, error) {
	email, valid := domain.NormalizeEmail(email)
	if !valid {
		return domain.Grant{}, domain.UserNotFound()
	}
	user, err := s.users.FindUserByEmail(ctx, email)
	if err != nil {
		return domain.Grant{}, fmt.Errorf("find user: %w", err)
	}
	return s.grant(ctx, &user)
}

func (s *Service) grant(ctx context.Context, user *domain.User) (domain.Grant, error) {
	gone, err := s.tenantGone(ctx, user.TenantID)
	if err != nil {
		return domain.Grant{}, fmt.Errorf("find tenant of user: %w", err)
	}
	if gone {
		return domain.Grant{}, domain.New(domain.ErrForbidden, "tenant_deleted", "The tenant of this user was deleted.")
	}
	return s.tokens.issue(ctx, user)
}

// checkPassword returns the user with this email and password.
func (s *Service) checkPassword(ctx context.Context, email, password string) (domain.User, error) {
	user, err := s.users.FindUserByEmail(ctx, email)
	if err != nil && !errors.Is(err, domain.ErrNotFound) {
		return domain.User{}, fmt.Errorf("find user: %w", err)
	}
	// Of an unknown user the hash is empty, and verifying it takes its time.
	ok, outdated, err := s.passwords.verify(ctx, user.PasswordHash, password)
	switch {
	case errors.Is(err, errUnknownHash):
		s.log.WarnContext(ctx, "stored password hash is not understood", slog.String("user_id", user.ID.String()))
		return domain.User{}, badCredentials()
	case err != nil:
		return domain.User{}, err
	case !ok:
		return domain.User{}, badCredentials()
	}
	if outdated {
		s.rehash(ctx, &user, password)
	}
	return user, nil
}

// rehash replaces the user's password hash, unless it was changed meanwhile.
// The login does not depend on it.
func (s *Service) rehash(ctx context.Context, user *domain.User, password string) {
	hash, err := s.passwords.hash(ctx, password)
	if err == nil {
		_, err = s.users.ChangeUser(ctx, user.ID, func(u *domain.User) error {
			if u.PasswordHash == user.PasswordHash {
				u.PasswordHash = hash
			}
			return nil
		})
	}
	if err != nil {
		s.log.WarnContext(ctx, "password was not rehashed", slog.String("user_id", user.ID.String()), slog.Any("error", err))
	}
}

func badCredentials() error {
	return domain.New(domain.ErrUnauthenticated, "invalid_credentials", "Email or password is wrong.")
}

// Forget notes that another replica may have changed the user: the next call of
// it asks the database.
func (s *Service) Forget(userID uuid.UUID) { s.accounts.forget(userID) }

// ForgetAll notes that other replicas may have changed any user. Unlike with
// Forget, what is known goes on being used while the database is away.
func (s *Service) ForgetAll() { s.accounts.expireAll() }

// holder returns the holder of a token, as it is now.
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

// tenantGone reports whether a user's tenant was deleted; no tenant was not.
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
