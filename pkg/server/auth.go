package server

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/repository"
	"lanekeeper/service/auth"
	"lanekeeper/service/fleet"
	"lanekeeper/service/tenant"
)

func newAPIKeys(c config.Config, store *repository.Store, clock *fleet.Clock, log *slog.Logger) *auth.APIKeys {
	return auth.NewAPIKeys(auth.APIKeyOptions{Keys: store, Users: store, Tenants: store, OpenMode: c.OpenMode(), Clock: clock.Now, Log: log})
}

func newAuth(c config.Config, store *repository.Store, directory *tenant.Directory, keys *auth.APIKeys, clock *fleet.Clock,
	audit func(context.Context, domain.AuditEntry), log *slog.Logger,
) *auth.Service {
	return auth.NewService(auth.Options{
		Users: store, Failures: store, Tenants: directory, Keys: keys, Secrets: tokenSecrets(c, store), Issuer: c.AppName, Audience: c.AppName,
		Lifetime: c.JWTLifetime, OpenMode: c.OpenMode(), Clock: clock.Now, Audit: audit, Log: log,
	})
}

// tokenSecrets returns the configured secrets, or in open mode one that is
// made once and kept in the database.
func tokenSecrets(c config.Config, store domain.SecretRepository) func(context.Context) ([][]byte, error) {
	var configured [][]byte
	for _, s := range c.Secrets() {
		configured = append(configured, []byte(s))
	}
	if len(configured) > 0 {
		return auth.Fixed(configured...)
	}
	return func(ctx context.Context) ([][]byte, error) {
		fresh := make([]byte, auth.MinSecretLength)
		_, _ = rand.Read(fresh) // never fails, see its documentation
		secret, err := store.EnsureSecret(ctx, "open-mode-tokens", fresh)
		if err != nil {
			return nil, fmt.Errorf("read the secret of open mode: %w", err)
		}
		return [][]byte{secret}, nil
	}
}
