package server

import (
	"context"
	"log/slog"

	"lanekeeper/config"
	"lanekeeper/repository"
)

// rowSecurity makes row-level security in the configured database, or only looks
// whether it is there.
func rowSecurity(ctx context.Context, c config.Config, checkOnly bool) (repository.RowSecurity, error) {
	roles := c.Database.Roles
	return repository.EnsureRowSecurity(ctx, repository.RowSecurityOptions{ //nolint:wrapcheck // says what it did
		URL: c.Database.URL, AdminURL: c.Database.AdminURL, CheckOnly: checkOnly,
		Roles: repository.Roles{App: roles.App, Writer: roles.Writer, System: roles.System},
	})
}

// describe says in lines for operators why there is no row-level security.
func describe(s repository.RowSecurity) string {
	text := "database  there is no row-level security: " + s.Problem + "\n"
	if s.SQL != "" {
		text += "Somebody who may make roles, or the tables' owner, has to run this in the database; then start again:\n" + s.SQL
	}
	return text
}

// warnOfRowSecurity logs what is missing. The service runs all the same.
func warnOfRowSecurity(ctx context.Context, log *slog.Logger, s repository.RowSecurity) {
	if s.Problem == "" {
		return
	}
	log.WarnContext(ctx, "there is no row-level security, which keeps a statement that forgets its tenant from reading others' rows",
		slog.String("reason", s.Problem), slog.String("sql", s.SQL))
}
