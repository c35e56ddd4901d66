package auth

import (
	"context"
	"errors"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"

	"lanekeeper/domain"
)

// linkPrefix is what the token of a portal link begins with, so that those who look for
// lost secrets, and we, know one from other tokens and from API keys. A JWT follows.
const linkPrefix = "lkp_"

// isLink reports whether an Authorization header is meant to have the token of a portal
// link in it.
func isLink(text string) bool { return strings.HasPrefix(text, linkPrefix) }

// linkAudience is for whom portal links are meant. It is another one than that of tokens,
// of which they have the issuer and the secrets, so that nobody takes one for the other:
// neither this version nor one that does not know portal links.
func linkAudience(audience string) string { return audience + "/portal" }

// linkClaims is the content of a portal link's token. Its subject is the user who made
// it, which is the zero UUID for the built-in admin, and its jti the link's id.
type linkClaims struct {
	jwt.RegisteredClaims

	TenantID string `json:"tenant_id"`
	// Scope has the names of scopes with spaces between them (RFC 8693, section 4.2).
	Scope string `json:"scope"`
	KeyID string `json:"key_id,omitempty"`
	// Version is that of the user's tokens, and Links that of the tenant.
	Version int  `json:"ver"`
	Links   *int `json:"links"`
}

// issueLink returns the token of a portal link.
func (t *tokens) issueLink(ctx context.Context, l *domain.PortalLink) (string, error) {
	content := linkClaims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    t.issuer,
			Subject:   l.UserID.String(),
			Audience:  jwt.ClaimStrings{linkAudience(t.audience)},
			IssuedAt:  jwt.NewNumericDate(t.now()),
			ExpiresAt: jwt.NewNumericDate(l.ExpiresAt),
			ID:        l.ID.String(),
		},
		TenantID: l.TenantID.String(),
		Scope:    strings.Join(l.Scopes.Names(), " "),
		Version:  l.TokenVersion,
		Links:    &l.TenantVersion,
	}
	if l.KeyID != uuid.Nil {
		content.KeyID = l.KeyID.String()
	}
	signed, err := t.sign(ctx, content)
	return linkPrefix + signed, err
}

// verifyLink returns the portal link of a token, once its signature and its claims are
// checked. Whether it still counts its holder's tenant, user and key say. The error is an
// ErrUnauthenticated, or that of the secrets.
func (t *tokens) verifyLink(ctx context.Context, text string) (domain.PortalLink, error) {
	var content linkClaims
	if err := t.parse(ctx, t.links, strings.TrimPrefix(text, linkPrefix), &content); err != nil {
		if errors.Is(err, domain.ErrUnauthenticated) {
			err = domain.LinkInvalid(err)
		}
		return domain.PortalLink{}, err
	}
	link := domain.PortalLink{
		Scopes: domain.ScopesNamed(strings.Fields(content.Scope)), TokenVersion: content.Version, ExpiresAt: content.ExpiresAt.UTC(),
	}
	for _, id := range []struct {
		text string
		to   *uuid.UUID
	}{{content.ID, &link.ID}, {content.TenantID, &link.TenantID}, {content.Subject, &link.UserID}, {content.KeyID, &link.KeyID}} {
		if id.text == "" && id.to == &link.KeyID {
			continue
		}
		var err error
		if *id.to, err = domain.ParseID(id.text); err != nil {
			return domain.PortalLink{}, domain.LinkInvalid(err)
		}
	}
	if content.Links == nil || link.ID == uuid.Nil || link.TenantID == uuid.Nil {
		return domain.PortalLink{}, domain.LinkInvalid(nil)
	}
	link.TenantVersion = *content.Links
	return link, nil
}
