package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"lanekeeper/domain"
)

const (
	// leeway is how far the clocks of those who issue tokens and those who
	// verify them may be apart.
	leeway = 30 * time.Second
	// maxTokenLength is several times what our tokens have.
	maxTokenLength = 4096
)

// claims is the content of a token (RFC 7519). Role and tenant are for the
// client's eyes: what counts is the user's row.
type claims struct {
	jwt.RegisteredClaims

	Role     string `json:"role"`
	TenantID string `json:"tenant_id,omitempty"`
	Version  *int   `json:"ver"`
}

// verified is what counts in a token.
type verified struct {
	userID  uuid.UUID
	version int
	expires time.Time
}

// tokens issues and verifies tokens.
type tokens struct {
	load     func(ctx context.Context) ([][]byte, error)
	issuer   string
	audience string
	lifetime time.Duration
	now      func() time.Time
	parser   *jwt.Parser
	links    *jwt.Parser // of portal links

	mu   sync.Mutex // guards ring; held while nothing but memory is touched
	ring *keyring   // nil until load has answered
}

// keyring holds the secrets by their kid, and is never changed.
type keyring struct {
	signing string // the kid that signs
	secrets map[string][]byte
}

func newTokens(load func(context.Context) ([][]byte, error), issuer, audience string, lifetime time.Duration, now func() time.Time) *tokens {
	parser := func(audience string) *jwt.Parser {
		return jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithIssuer(issuer),
			jwt.WithAudience(audience),
			jwt.WithExpirationRequired(),
			jwt.WithIssuedAt(),
			jwt.WithLeeway(leeway),
			jwt.WithTimeFunc(now),
			jwt.WithStrictDecoding(),
		)
	}
	return &tokens{
		load: load, issuer: issuer, audience: audience, lifetime: lifetime, now: now,
		parser: parser(audience), links: parser(linkAudience(audience)),
	}
}

// issue returns a token for the user.
func (t *tokens) issue(ctx context.Context, u *domain.User) (domain.Grant, error) {
	now := t.now()
	expires := now.Add(t.lifetime).Truncate(time.Second)
	content := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    t.issuer,
			Subject:   u.ID.String(),
			Audience:  jwt.ClaimStrings{t.audience},
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(expires),
		},
		Role:    string(u.Role),
		Version: &u.TokenVersion,
	}
	if u.TenantID != uuid.Nil {
		content.TenantID = u.TenantID.String()
	}
	signed, err := t.sign(ctx, content)
	if err != nil {
		return domain.Grant{}, err
	}
	return domain.Grant{Token: signed, ExpiresAt: expires, User: *u}, nil
}

// sign returns a token with this content.
func (t *tokens) sign(ctx context.Context, content jwt.Claims) (string, error) {
	ring, err := t.keys(ctx)
	if err != nil {
		return "", err
	}
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, content)
	token.Header["kid"] = ring.signing
	signed, err := token.SignedString(ring.secrets[ring.signing])
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return signed, nil
}

// verify returns what a token says, once its signature and its claims are
// checked. The error is an ErrUnauthenticated, or that of the secrets.
func (t *tokens) verify(ctx context.Context, signed string) (verified, error) {
	var content claims
	if err := t.parse(ctx, t.parser, signed, &content); err != nil {
		return verified{}, err
	}
	id, err := domain.ParseID(content.Subject)
	if err != nil || content.Version == nil {
		return verified{}, tokenInvalid(err)
	}
	return verified{userID: id, version: *content.Version, expires: content.ExpiresAt.UTC()}, nil
}

// parse reads what a token says, once its signature and its claims are checked; with the
// errors of verify.
func (t *tokens) parse(ctx context.Context, parser *jwt.Parser, signed string, content jwt.Claims) error {
	if len(signed) > maxTokenLength {
		return tokenInvalid(nil)
	}
	ring, err := t.keys(ctx)
	if err != nil {
		return err
	}
	if err := checkUnambiguous(signed); err != nil {
		return tokenInvalid(err)
	}
	_, err = parser.ParseWithClaims(signed, content, ring.find)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return tokenExpired(err)
	case err != nil:
		return tokenInvalid(err)
	}
	return nil
}

// tokenInvalid is the answer to a token that does not count; cause may be nil.
func tokenInvalid(cause error) error {
	return domain.Wrap(cause, domain.ErrUnauthenticated, "token_invalid", "The token is not valid.")
}

// keys returns the keyring, and asks for the secrets if there is none yet.
func (t *tokens) keys(ctx context.Context) (*keyring, error) {
	t.mu.Lock()
	ring := t.ring
	t.mu.Unlock()
	if ring != nil {
		return ring, nil
	}
	secrets, err := t.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("load token secrets: %w", err)
	}
	if ring, err = newKeyring(secrets); err != nil {
		return nil, err
	}
	t.mu.Lock()
	t.ring = ring
	t.mu.Unlock()
	return ring, nil
}

func newKeyring(secrets [][]byte) (*keyring, error) {
	if len(secrets) == 0 {
		return nil, errors.New("no token secret")
	}
	ring := &keyring{signing: keyID(secrets[0]), secrets: make(map[string][]byte, len(secrets))}
	for _, secret := range secrets {
		if len(secret) < MinSecretLength {
			return nil, fmt.Errorf("a token secret has %d bytes, fewer than %d", len(secret), MinSecretLength)
		}
		ring.secrets[keyID(secret)] = secret
	}
	return ring, nil
}

// find is the jwt.Keyfunc.
func (k *keyring) find(token *jwt.Token) (any, error) {
	kid, _ := token.Header["kid"].(string)
	secret, ok := k.secrets[kid]
	if !ok {
		return nil, errors.New("unknown kid")
	}
	return secret, nil
}

// keyID names a secret without telling anything about it that a token signed
// with it would not tell.
func keyID(secret []byte) string {
	hash := sha256.Sum256(append([]byte("lanekeeper kid:"), secret...))
	return hex.EncodeToString(hash[:8])
}
