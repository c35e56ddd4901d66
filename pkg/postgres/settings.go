package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// settingsTimeout bounds the setting of a new connection's settings.
const settingsTimeout = 5 * time.Second

// fixedSettings returns what every session has, whatever the URL, the role or
// the database say: the driver and the statements count on it.
func fixedSettings() map[string]string {
	return map[string]string{
		"client_encoding":               "UTF8",
		"datestyle":                     "ISO",
		"intervalstyle":                 "postgres",
		"bytea_output":                  "hex",
		"standard_conforming_strings":   "on",
		"default_transaction_isolation": "read committed",
	}
}

// startupSettings are sent when a connection begins: every pooler knows them.
// All others are set afterwards, because poolers refuse a connection for those
// they do not know.
func isStartupSetting(name string) bool {
	return name == "application_name" || name == "options"
}

// settleParameters takes over how the driver talks, whatever the URL says: other
// modes cannot encode what is sent here.
func settleParameters(config *pgx.ConnConfig, unprepared bool) {
	config.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	if unprepared {
		config.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
	config.StatementCacheCapacity = statementCache
	config.DescriptionCacheCapacity = statementCache
	settings := fixedSettings()
	for name, value := range config.RuntimeParams {
		if isStartupSetting(name) {
			continue
		}
		delete(config.RuntimeParams, name)
		if _, fixed := settings[strings.ToLower(name)]; !fixed {
			settings[name] = value
		}
	}
	before := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		if before != nil {
			if err := before(ctx, conn); err != nil {
				return err
			}
		}
		return applySettings(ctx, conn, settings)
	}
}

// applySettings sets all in one round trip. When the server refuses, it finds
// out which of them it is.
func applySettings(ctx context.Context, conn *pgconn.PgConn, settings map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, settingsTimeout)
	defer cancel()
	names := slices.Sorted(maps.Keys(settings))
	calls := make([]string, len(names))
	for i, name := range names {
		calls[i] = "set_config(" + literal(name) + ", " + literal(settings[name]) + ", false)"
	}
	_, err := conn.Exec(ctx, "SELECT "+strings.Join(calls, ", ")).ReadAll()
	if err == nil || Code(err) == "" {
		return err //nolint:wrapcheck // the caller says that it connects
	}
	for i, call := range calls {
		if _, one := conn.Exec(ctx, "SELECT "+call).ReadAll(); Code(one) != "" {
			return &SettingError{Name: names[i], cause: one}
		}
	}
	return err //nolint:wrapcheck // as above
}

// literal quotes text so that it means the same whatever
// standard_conforming_strings is.
func literal(text string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'"
}

// SettingError means that the server refuses a setting that a URL asks for. It
// stays wrong until the URL is changed.
type SettingError struct {
	// Name of the parameter.
	Name  string
	cause error
}

// Error quotes neither the value nor what the server says, which quotes it.
func (e *SettingError) Error() string {
	name := "a parameter"
	if regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]{0,62}$`).MatchString(e.Name) {
		name = fmt.Sprintf("the parameter %q", e.Name)
	}
	switch Code(e.cause) {
	case codeUndefinedObject:
		return name + " of the database URL is known neither to this service nor to the server"
	case codeInvalidParameterValue:
		return name + " of the database URL has a value that the server does not take"
	case codeInsufficientPrivilege:
		return name + " of the database URL may not be set by this role"
	}
	return fmt.Sprintf("%s of the database URL cannot be set here (SQLSTATE %s)", name, Code(e.cause))
}

// Unwrap returns what the server said.
func (e *SettingError) Unwrap() error { return e.cause }

// IsMisconfigured reports whether connecting fails for what only the
// configuration can change: waiting makes no sense.
func IsMisconfigured(err error) bool {
	if _, ok := errors.AsType[*SettingError](err); ok || errors.Is(err, ErrPooled) {
		return true
	}
	if _, ok := errors.AsType[*RoleError](err); ok {
		return false // somebody may make it, or give the right
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); !ok {
		return false
	}
	switch Code(err) {
	case codeUndefinedObject, codeInvalidParameterValue, codeCannotChangeParameter:
		return true
	}
	return false
}

// Explain returns in plain words why connecting failed, when it was not for a
// server that is away but for one that refuses; "" otherwise. It contains no
// secrets.
func Explain(err error) string {
	if setting, ok := errors.AsType[*SettingError](err); ok {
		return setting.Error()
	}
	if errors.Is(err, ErrPooled) {
		return ErrPooled.Error()
	}
	if role, ok := errors.AsType[*RoleError](err); ok {
		return role.Error()
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); !ok {
		return ""
	}
	switch Code(err) {
	case codeUndefinedObject, codeInvalidParameterValue, codeCannotChangeParameter:
		return "the server refuses the parameter options of the database URL"
	case codeInvalidPassword:
		return "the server refuses the user's password"
	case codeInvalidAuthorization:
		return "the server refuses the user: there is no such role, it may not log in, or pg_hba.conf does not let it in from here or without TLS"
	case codeUndefinedDatabase:
		return "there is no such database on the server"
	case codeInsufficientPrivilege:
		return "the user may not connect to the database"
	}
	if reason := explainTLS(err); reason != "" || isConnectionError(err) {
		return reason
	}
	// What is left has no type of its own.
	return "the server takes no TLS connections, which sslmode of the database URL asks for"
}
