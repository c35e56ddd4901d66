package server

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/repository"
	"lanekeeper/service/audit"
)

// ReadAudit returns the newest lines of the audit log that q asks for, the oldest of
// them first; with actor, only those of the user of this address. Who may use the
// database may see all of it.
func ReadAudit(ctx context.Context, c config.Config, log *slog.Logger, q domain.AuditQuery, actor string) ([]domain.AuditEntry, error) {
	var entries []domain.AuditEntry
	err := withStore(ctx, c, nil, func(store *repository.Store) error {
		if actor != "" {
			user, err := store.FindUserByEmail(ctx, actor)
			if err != nil {
				return fmt.Errorf("--actor: %w", err)
			}
			q.ActorID = user.ID
		}
		var err error
		entries, _, err = audit.NewService(audit.Options{Log: store, Logger: log}).List(ctx, domain.Principal{Role: domain.RoleAdmin}, q)
		slices.Reverse(entries)
		return err //nolint:wrapcheck // says what is wrong
	})
	return entries, err
}
