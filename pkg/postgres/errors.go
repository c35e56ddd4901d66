package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/puddle/v2"
)

// SQLSTATE codes that are looked for by name (PostgreSQL's manual, appendix
// "PostgreSQL Error Codes").
const (
	codeProtocolViolation     = "08P01"
	codeInvalidParameterValue = "22023"
	codeUniqueViolation       = "23505"
	codeCheckViolation        = "23514"
	codeReadOnlyTransaction   = "25006"
	codeInvalidAuthorization  = "28000"
	codeInvalidPassword       = "28P01"
	codeUndefinedDatabase     = "3D000"
	codeDeadlock              = "40P01"
	codeInsufficientPrivilege = "42501"
	codeUndefinedObject       = "42704"
	codeDuplicateObject       = "42710"
	codeWrongObjectType       = "42809"
	codeUndefinedTable        = "42P01"
	codeDuplicateTable        = "42P07"
	codeCannotChangeParameter = "55P02"
	codeLockNotAvailable      = "55P03"
	codeQueryCanceled         = "57014"
	codeInternalError         = "XX000"
	codeDataCorrupted         = "XX001"
	codeIndexCorrupted        = "XX002"
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
	// ClassOther: anything else, a fault of ours: also what never left the
	// process, because a parameter cannot be encoded, their number is wrong, or
	// a column does not scan.
	ClassOther
)

// Classify returns the class of an error of this driver.
func Classify(err error) Class {
	if err == nil {
		return ClassNone
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return ClassUnavailable // whatever its code, it is not about a statement
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

// IsLocal reports whether an error of ClassUnavailable may be about a single
// table: the server is there and has taken the statement, but finds no room
// where a table is kept, a bad disk or a damaged file, or has no right to it.
// It may be about all tables as well, which only trying others shows.
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

// classifyClient judges an error that did not come from the server.
func classifyClient(err error) Class {
	if isConnectionError(err) {
		return ClassUnavailable
	}
	return ClassOther
}

// lostError marks an error after which the connection was closed.
type lostError struct{ error }

func (e lostError) Unwrap() error { return e.error }

// Judge returns err, marked as the loss of the connection if it came from using
// conn, which is closed by now: the driver closes it after each error of the
// network or the protocol, some of which have no type, and after no other.
func Judge(err error, conn *pgx.Conn) error {
	if err == nil || Code(err) != "" || !conn.IsClosed() {
		return err
	}
	return lostError{err}
}

// isConnectionError reports whether an error is about a connection, or about the
// time for it. What the driver cannot encode or decode has mostly no type, so it
// is what is left.
func isConnectionError(err error) bool {
	if _, ok := errors.AsType[lostError](err); ok {
		return true
	}
	for _, known := range []error{
		context.Canceled, context.DeadlineExceeded, io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, os.ErrDeadlineExceeded,
		puddle.ErrClosedPool, pgx.ErrTxClosed,
	} {
		if errors.Is(err, known) {
			return true
		}
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[syscall.Errno](err); ok {
		return true
	}
	if _, ok := errors.AsType[*pgproto3.ExceededMaxBodyLenErr](err); ok {
		return true
	}
	// Those of the driver that say whether anything was sent are all about that.
	_, ok := errors.AsType[interface {
		error
		SafeToRetry() bool
	}](err)
	return ok
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
// violated check constraints, which differ by having a name.
func NoPartition(err error) (table string, ok bool) {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == codeCheckViolation && pg.ConstraintName == "" {
		return pg.TableName, true
	}
	return "", false
}

// IsQueryCanceled reports whether the server cancelled the statement, by its
// timeout or on request.
func IsQueryCanceled(err error) bool { return Code(err) == codeQueryCanceled }

// IsDuplicateObject reports whether a table exists already, or the type that
// comes with it, which is what a second one finds that is made at the same
// time; or whether it is a partition already.
func IsDuplicateObject(err error) bool {
	switch Code(err) {
	case codeDuplicateTable, codeDuplicateObject, codeWrongObjectType:
		return true
	}
	return false
}

// IsUndefinedTable reports whether a table does not exist.
func IsUndefinedTable(err error) bool { return Code(err) == codeUndefinedTable }

// IsDeadlock reports whether the server ended the statement to resolve a
// deadlock.
func IsDeadlock(err error) bool { return Code(err) == codeDeadlock }
