package domain

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind classifies an error by what its receiver can do about it. A Kind is
// itself an error, so errors.Is(err, ErrNotFound) works on every error that
// was made with New, Wrap or WithFields.
type Kind string

// Error makes a Kind usable as the target of errors.Is.
func (k Kind) Error() string { return string(k) }

// The kinds of errors that reach a caller.
const (
	// ErrMalformed: the request cannot be parsed at all.
	ErrMalformed Kind = "malformed"
	// ErrUnauthenticated: no valid credentials came with the request.
	ErrUnauthenticated Kind = "unauthenticated"
	// ErrForbidden: the caller is known and may not do this.
	ErrForbidden Kind = "forbidden"
	// ErrNotFound: it does not exist, or not for this caller.
	ErrNotFound Kind = "not found"
	// ErrGone: it existed, and is not kept any longer.
	ErrGone Kind = "gone"
	// ErrConflict: the current state of the resource does not allow it.
	ErrConflict Kind = "conflict"
	// ErrTooLarge: the request or a part of it exceeds a limit in size.
	ErrTooLarge Kind = "too large"
	// ErrTooSlow: the request did not come in time.
	ErrTooSlow Kind = "too slow"
	// ErrUnsupported: the media type is not one that is understood.
	ErrUnsupported Kind = "unsupported media type"
	// ErrInvalid: it was understood, and a value in it breaks a rule.
	ErrInvalid Kind = "invalid"
	// ErrLimited: too much was asked for; try again later.
	ErrLimited Kind = "limited"
	// ErrUnavailable: a server that is needed is away, or its answer is
	// unknown; try again with the same idempotency key.
	ErrUnavailable Kind = "unavailable"
)

// The kinds of errors by which the store says how its writer is to go on. They
// never reach a caller.
const (
	// ErrContended: a lock, a deadlock or a statement timeout stood in the
	// way of some of the tenants of a batch.
	ErrContended Kind = "contended"
	// ErrPartitionMissing: a row has no partition to go to.
	ErrPartitionMissing Kind = "partition missing"
	// ErrRejected: the store refuses a row as it is.
	ErrRejected Kind = "rejected"
)

// The kinds that some errors of the kinds above have besides, for code that
// decides by more than callers see; see Error.Because.
const (
	// ErrNoCapacity: a server that is there allows no more of something. The
	// error is an ErrUnavailable.
	ErrNoCapacity Kind = "no capacity"
	// ErrQueueMissing: there is no queue to take a message. The error is an
	// ErrUnavailable.
	ErrQueueMissing Kind = "queue missing"
	// ErrNameTaken: something else has the name that it was to have. The error is an
	// ErrConflict.
	ErrNameTaken Kind = "name taken"
	// ErrBacklogFull: too many messages wait in the tenant's queue. The error is an
	// ErrLimited.
	ErrBacklogFull Kind = "backlog full"
	// ErrStoreRefuses: the store answers and takes nothing, or nothing of some
	// tenants. The error is an ErrUnavailable.
	ErrStoreRefuses Kind = "store refuses"
	// ErrStoreFault: a row cannot be stored for a fault of the service's own. The
	// error is an ErrRejected.
	ErrStoreFault Kind = "store fault"
)

// FieldError is what is wrong with one field.
type FieldError struct {
	// Pointer is the JSON pointer of the field (RFC 6901), or the name of a
	// query parameter or header.
	Pointer string
	// Message is meant for the caller.
	Message string
}

// maxPointerLength is how much of a pointer is shown, in bytes.
const maxPointerLength = 100

// Pointer returns the JSON pointer (RFC 6901) of a member of a member, cut to a
// length that can be shown. A batch may have thousands of members at fault, so
// what will be cut off is not looked at.
func Pointer(names ...string) string {
	var b strings.Builder
	for _, name := range names {
		long := len(name) > maxPointerLength
		if long {
			name = name[:maxPointerLength]
		}
		b.WriteByte('/')
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1"))
		if long || b.Len() > maxPointerLength {
			return strings.ToValidUTF8(b.String()[:maxPointerLength], "") + "..."
		}
	}
	return b.String()
}

// Error is an error that may be shown to a caller: Code and Message are
// stable and free of internals, the cause is for the log only.
type Error struct {
	Kind    Kind
	Code    string
	Message string
	Fields  []FieldError
	// RetryAfter is how long the caller should wait; zero says nothing.
	RetryAfter time.Duration
	cause      error
	because    Kind
}

// New returns an Error without a cause.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Wrap returns an Error that hides cause from the caller and keeps it for the
// log.
func Wrap(cause error, kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message, cause: cause}
}

// WithFields returns an ErrInvalid error that names the offending fields.
func WithFields(fields ...FieldError) *Error {
	return &Error{Kind: ErrInvalid, Code: "invalid_fields", Message: "Some fields are not valid.", Fields: fields}
}

// NoCapacity returns an ErrUnavailable with code "broker_capacity" that is an
// ErrNoCapacity as well, and hides cause from the caller. It may be nil.
func NoCapacity(cause error, message string) *Error {
	return Wrap(cause, ErrUnavailable, "broker_capacity", message).Because(ErrNoCapacity)
}

// After sets RetryAfter and returns the error itself.
func (e *Error) After(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// Because makes the error one of this kind as well, of which callers see
// nothing, and returns the error itself.
func (e *Error) Because(kind Kind) *Error {
	e.because = kind
	return e
}

// Error returns the full text for logs, the cause included.
func (e *Error) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s: %s", e.Code, e.Message)
	for _, f := range e.Fields {
		fmt.Fprintf(&text, " [%s: %s]", f.Pointer, f.Message)
	}
	if e.cause != nil {
		text.WriteString(": " + e.cause.Error())
	}
	return text.String()
}

// Is reports whether target is a kind of this error.
func (e *Error) Is(target error) bool {
	kind, ok := target.(Kind)
	return ok && (kind == e.Kind || e.because != "" && kind == e.because)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.cause }

// CodeOf returns the code of the outermost Error in err's chain, or "".
func CodeOf(err error) string {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return ""
}
