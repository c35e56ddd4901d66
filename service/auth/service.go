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
	"lanekeeper/pkg/janitor"
)

const (
	// DefaultLifetime is how long a token is valid unless Options says
	// otherwise.
	DefaultLifetime = time.Hour
	// MinSecretLength is how many bytes a secret must have (RFC 7518, section
	// 3.2: as many as the hash).
	MinSecretLength = 32

	janitorEvery = time.Minute
	janitorChunk = 5000
)

// tenantDirectory knows the tenants; it may answer from a cache of some
// seconds.
type tenantDirectory interface {
	Lookup(ctx context.Context, id uuid.UUID) (domain.Tenant, error)
}

// Options is what NewService needs.
type Options struct {
	Users    domain.UserRepository
	Failures domain.LoginFailureRepository
	Tenants  tenantDirectory
	// Keys are the API keys; nil refuses all.
	Keys *APIKeys
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
	// Audit records logins in the audit log; it may be nil.
	Audit func(ctx context.Context, e domain.AuditEntry)
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
	keys     *keyHolders // nil where there are no keys
	links    *linkHolders
	openMode bool
	now      func() time.Time
	clock    func() time.Time
	log      *slog.Logger

	audit     func(ctx context.Context, e domain.AuditEntry)
	tokens    *tokens
	passwords *passwords
	logins    *logins
	accounts  *accounts
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
	if o.Audit == nil {
		o.Audit = func(context.Context, domain.AuditEntry) {}
	}
	passwords := newPasswords(cmp.Or(o.Cost, DefaultCost()))
	s := &Service{
		users:     o.Users,
		tenants:   o.Tenants,
		openMode:  o.OpenMode,
		now:       now,
		clock:     clock,
		log:       o.Log,
		audit:     o.Audit,
		tokens:    newTokens(o.Secrets, o.Issuer, o.Audience, cmp.Or(o.Lifetime, DefaultLifetime), clock),
		passwords: passwords,
		logins:    newLogins(o, passwords, now),
		accounts:  newAccounts(o.Users, now),
	}
	if o.Keys != nil {
		s.keys = &keyHolders{keys: o.Keys, openMode: o.OpenMode, caller: s.caller, tenantGone: s.tenantGone}
	}
	s.links = &linkHolders{tokens: s.tokens, tenants: o.Tenants, openMode: o.OpenMode, clock: clock, keys: s.keys, user: s.holder}
	return s
}

// Authenticate returns the sender of the Authorization header, which may carry its
// token, API key or token of a portal link with or without "Bearer ". Without a header it is the built-in
// admin in open mode. What the caller may do comes from the user's row, and the
// key's, at most some seconds old, not from the token. Errors are ErrUnauthenticated,
// ErrLimited for too many keys that do not exist from one address (domain.Owner), and
// ErrUnavailable when it cannot be found out.
func (s *Service) Authenticate(ctx context.Context, authorization string) (domain.Principal, error) {
	if authorization == "" {
		if s.openMode {
			return domain.Principal{Role: domain.RoleAdmin}, nil
		}
		return domain.Principal{}, domain.New(domain.ErrUnauthenticated, "token_missing", "Send a token in the header Authorization.")
	}
	credentials := bearer(authorization)
	if s.keys != nil && isAPIKey(credentials) {
		return s.keys.authenticate(ctx, credentials)
	}
	if isLink(credentials) {
		return s.links.authenticate(ctx, credentials)
	}
	token, err := s.tokens.verify(ctx, credentials)
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
// long as there is open mode. A caller that came with an API key is one until that
// expires or is revoked, and so is one that came with a portal link.
func (s *Service) Recheck(ctx context.Context, p domain.Principal) (domain.Principal, error) {
	if p.ByLink() {
		return s.links.recheck(ctx, p)
	}
	expired := !p.ExpiresAt.IsZero() && !s.clock().Before(p.ExpiresAt)
	switch {
	case p.ByKey() && (expired || s.keys == nil):
		return domain.Principal{}, keyInvalid()
	case p.ByKey():
		return s.keys.recheck(ctx, p)
	case expired:
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
// request came from. Unknown and disabled users, users without a password and wrong
// passwords are one ErrUnauthenticated and take the same time; other errors
// are ErrLimited after too many of them, ErrForbidden for a user whose tenant
// was deleted, and ErrUnavailable.
func (s *Service) Login(ctx context.Context, email, password, remoteAddr string) (domain.Grant, error) {
	email, valid := domain.NormalizeEmail(email)
	if !valid || len(password) > domain.MaxPasswordLength {
		return domain.Grant{}, badCredentials()
	}
	user, hash, err := s.logins.prove(ctx, attempt{
		email: email, password: password, remote: remoteAddr,
		find: func(ctx context.Context) (domain.User, error) { return s.users.FindUserByEmail(ctx, email) },
	})
	actor := domain.Actor{Kind: domain.ActorAnonymous, Address: remoteAddr}
	if err != nil {
		if errors.Is(err, domain.ErrUnauthenticated) {
			s.audit(domain.WithActor(ctx, actor), domain.AuditEntry{Action: domain.AuditLoginFailed, Target: email})
		}
		return domain.Grant{}, err
	}
	if hash != "" {
		s.logins.replace(ctx, user.ID, user.PasswordHash, hash)
	}
	grant, err := s.grant(ctx, &user)
	if err == nil {
		actor.Kind, actor.UserID = domain.ActorUser, user.ID
		s.audit(domain.WithActor(ctx, actor), domain.AuditEntry{Action: domain.AuditLogin, Target: user.ID.String()})
	}
	return grant, err
}

// IssueFor returns a token for the user with an email address, for those who
// have access to the database anyway. Errors are ErrNotFound, an ErrConflict for a
// user that is disabled, and ErrUnavailable.
func (s *Service) IssueFor(ctx context.Context, email string) (domain.Grant, error) {
	email, valid := domain.NormalizeEmail(email)
	if !valid {
		return domain.Grant{}, domain.UserNotFound()
	}
	user, err := s.users.FindUserByEmail(ctx, email)
	if err != nil {
		return domain.Grant{}, fmt.Errorf("find user: %w", err)
	}
	if user.Disabled() {
		return domain.Grant{}, domain.New(domain.ErrConflict, "user_disabled", "The user is disabled.")
	}
	return s.grant(ctx, &user)
}

// RunJanitor deletes counters of failed logins that are forgotten, in chunks, until
// ctx ends.
func (s *Service) RunJanitor(ctx context.Context) {
	janitor.Run(ctx, janitorEvery, s.deleteForgotten)
}

func (s *Service) deleteForgotten(ctx context.Context) {
	if err := janitor.Sweep(ctx, janitorChunk, s.logins.guesses.failures.DeleteForgottenLoginFailures); err != nil {
		s.log.InfoContext(ctx, "forgotten failures of logins not deleted, trying again later", slog.Any("error", err))
	}
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

// User returns a user as it was some seconds ago at most, or as it was known last
// while the database is away. Errors are ErrNotFound, and ErrUnavailable when nothing
// is known of it.
func (s *Service) User(ctx context.Context, id uuid.UUID) (domain.User, error) {
	return s.accounts.find(ctx, id)
}

// Forget notes that another replica may have changed the user: the next call of
// it asks the database.
func (s *Service) Forget(userID uuid.UUID) { s.accounts.forget(userID) }

// ForgetAll notes that other replicas may have changed any user. Unlike with
// Forget, what is known goes on being used while the database is away.
func (s *Service) ForgetAll() { s.accounts.expireAll() }

// holder returns the holder of a token, as it is now.
func (s *Service) holder(ctx context.Context, token verified) (domain.Principal, error) {
	user, err := s.caller(ctx, token.userID)
	switch {
	case errors.Is(err, domain.ErrNotFound), err == nil && user.TokenVersion != token.version:
		return domain.Principal{}, tokenRevoked()
	case err != nil:
		return domain.Principal{}, err
	}
	return domain.Principal{
		UserID: user.ID, Role: user.Role, TenantID: user.TenantID, TokenVersion: token.version, ExpiresAt: token.expires,
	}, nil
}

// caller returns a user who may call, with tokens and with keys: it exists, and the
// tenant that it belongs to was not deleted. Else it is an ErrNotFound.
func (s *Service) caller(ctx context.Context, id uuid.UUID) (domain.User, error) {
	user, err := s.accounts.find(ctx, id)
	if err != nil {
		return domain.User{}, fmt.Errorf("find user of token or key: %w", err)
	}
	gone, err := s.tenantGone(ctx, user.TenantID)
	if err != nil {
		return domain.User{}, fmt.Errorf("find tenant of user: %w", err)
	}
	if gone || user.Disabled() {
		return domain.User{}, domain.UserNotFound()
	}
	return user, nil
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
