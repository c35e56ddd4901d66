package postgres

import (
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATE codes that are looked for by name (PostgreSQL's manual, appendix
// "PostgreSQL Error Codes").
const (
	codeReadOnlyTransaction = "25006"
	codeUniqueViolation     = "23505"
	codeCheckViolation      = "23514"
	codeDeadlock            = "40P01"
	codeDuplicateTable      = "42P07"
	codeDuplicateObject     = "42710"
	codeWrongObjectType     = "42809"
	codeUndefinedTable      = "42P01"
	codeLockNotAvailable    = "55P03"
	codeQueryCanceled       = "57014"
	codeDataCorrupted       = "XX001"
	codeIndexCorrupted      = "XX002"
)

// Class says what can be done about an error.
type Class uint8

// The classes of errors.
const (
	// ClassNone: there is no error.
	ClassNone Class = iota
	// ClassUnavailable: the server is away, starting, stopping, read-only,
	// out of resources, damaged or not set up; the statement as such may
	// succeed later.
	ClassUnavailable
	// ClassContended: a lock, a deadlock or the statement timeout.
	ClassContended
	// ClassData: the server refuses the data.
	ClassData
	// ClassOther: anything else, usually a bug.
	ClassOther
)

// Classify returns the class of an error of this driver.
func Classify(err error) Class {
	if err == nil {
		return ClassNone
	}
	code := Code(err)
	if code == "" {
		return classifyClient(err)
	}
	switch code {
	case codeLockNotAvailable, codeQueryCanceled, codeDeadlock:
		return ClassContended
	case codeDataCorrupted, codeIndexCorrupted:
		return ClassUnavailable
	}
	switch code[:2] {
	case "08", // connection exception
		"0A", // not supported: a prepared statement outlived a change of the schema
		"25", // invalid transaction state: read-only, idle timeout
		"26", // invalid statement name: the session is not the one it was
		"28", // invalid authorization
		"3D", // no such database
		"40", // transaction rollback
		"42", // syntax or access rule: the schema is not there, or no right to it
		"53", // insufficient resources
		"55", // object not in prerequisite state
		"57", // operator intervention
		"58", // system error
		"F0": // configuration file error
		return ClassUnavailable
	case "21", "22", "23", "44", "54":
		return ClassData
	}
	return ClassOther
}

// IsLocal tells whether an error of ClassUnavailable may be about a single
// table: the server is there and has taken the statement, but finds no room
// where a table is kept, a bad disk or a damaged file, or has no right to it.
// It may be about all tables as well, which only trying others can tell.
func IsLocal(err error) bool {
	if Classify(err) != ClassUnavailable {
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return false
	}
	code := Code(err)
	if code == "" {
		return false
	}
	switch code[:2] {
	case "0A", "42", "53", "55", "58", "XX":
		return true
	}
	return false
}

// classifyClient judges an error that did not come from the server. What the
// driver reports of connections has many types, so everything counts as
// that which is not known to be about the result.
func classifyClient(err error) Class {
	if _, ok := errors.AsType[pgx.ScanArgError](err); ok || errors.Is(err, pgx.ErrNoRows) || errors.Is(err, pgx.ErrTooManyRows) {
		return ClassOther
	}
	return ClassUnavailable
}

// Code returns the SQLSTATE of the error, or "" when it did not come from the
// server.
func Code(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && len(pg.Code) == 5 {
		return pg.Code
	}
	return ""
}

// UniqueViolation returns the name of the constraint or unique index that
// refused a row, and whether that is what the error is about.
func UniqueViolation(err error) (constraint string, ok bool) {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == codeUniqueViolation {
		return pg.ConstraintName, true
	}
	return "", false
}

// NoPartition returns the name of the table that has no partition for a row,
// and whether that is what the error is about. It shares its SQLSTATE with
// violated check constraints, which are told apart by having a name.
func NoPartition(err error) (table string, ok bool) {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == codeCheckViolation && pg.ConstraintName == "" {
		return pg.TableName, true
	}
	return "", false
}

// IsQueryCanceled tells whether the server cancelled the statement, by its
// timeout or on request.
func IsQueryCanceled(err error) bool { return Code(err) == codeQueryCanceled }

// IsDuplicateObject tells whether a table exists already, or the type that
// comes with it, which is what a second one finds that is made at the same
// time; or whether it is a partition already.
func IsDuplicateObject(err error) bool {
	switch Code(err) {
	case codeDuplicateTable, codeDuplicateObject, codeWrongObjectType:
		return true
	}
	return false
}

// IsUndefinedTable tells whether a table does not exist.
func IsUndefinedTable(err error) bool { return Code(err) == codeUndefinedTable }

// IsDeadlock tells whether the server ended the statement to resolve a
// deadlock.
func IsDeadlock(err error) bool { return Code(err) == codeDeadlock }
