package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Errors of the caller.
var (
	// ErrNoTenant: the call is about one tenant, and the client is for none.
	ErrNoTenant = errors.New("the client is for no tenant: use WithTenant or ForTenant")
	// ErrClosed: the publisher is closed.
	ErrClosed = errors.New("the publisher is closed")
	// ErrNotJSON: a payload is not a JSON value.
	ErrNotJSON = errors.New("the payload is not JSON")
)

// Code is what a problem document names the problem by. It is an error so that
// errors.Is can look for it: errors.Is(err, CodeTenantNotFound). The API has more
// codes than there are constants here.
type Code string

// Error implements error.
func (c Code) Error() string { return string(c) }

// Codes that callers decide by.
const (
	CodeTenantNotFound          Code = "tenant_not_found"
	CodeTenantInactive          Code = "tenant_inactive"
	CodeTenantProvisioning      Code = "tenant_provisioning"
	CodeTenantRequired          Code = "tenant_required"
	CodeMessageNotFound         Code = "message_not_found"
	CodeEndpointNotFound        Code = "endpoint_not_found"
	CodeUserNotFound            Code = "user_not_found"
	CodeAPIKeyNotFound          Code = "api_key_not_found"          //nolint:gosec // the name of a problem
	CodeAMQPCredentialsNotFound Code = "amqp_credentials_not_found" //nolint:gosec // the name of a problem
	CodeReplayNotFound          Code = "replay_not_found"
	CodeDeadLetterNotFound      Code = "dead_letter_not_found"
	CodeDeadLetterJobNotFound   Code = "dead_letter_job_not_found"
	CodeExternalIDTaken         Code = "external_id_taken"
	CodeEmailTaken              Code = "email_taken"
	CodeInvalidFields           Code = "invalid_fields"
	CodeInvalidID               Code = "invalid_id"
	CodeInvalidCursor           Code = "invalid_cursor"
	CodeCursorAhead             Code = "cursor_ahead"
	CodeCursorExpired           Code = "cursor_expired"
	CodeIdempotencyKeyReused    Code = "idempotency_key_reused"
	CodeNotJSON                 Code = "not_json"
	CodeBodyTooLarge            Code = "body_too_large"
	CodeRateExceeded            Code = "rate_exceeded"
	CodeQuotaExceeded           Code = "quota_exceeded"
	CodeBacklogFull             Code = "backlog_full"
	CodeTokenMissing            Code = "token_missing"
	CodeTokenInvalid            Code = "token_invalid"
	CodeTokenExpired            Code = "token_expired"
	CodeTokenRevoked            Code = "token_revoked"
	CodeKeyInvalid              Code = "key_invalid"
	CodeInvalidCredentials      Code = "invalid_credentials" //nolint:gosec // the name of a problem
	CodeTooManyLogins           Code = "too_many_logins"
	CodeKeyNotAccepted          Code = "key_not_accepted"
	CodePortalInvalid           Code = "portal_invalid"
	CodePortalNotAccepted       Code = "portal_not_accepted"
	CodeAMQPNotConfigured       Code = "amqp_not_configured"
	CodeScopeInsufficient       Code = "scope_insufficient"
	CodeRoleInsufficient        Code = "role_insufficient"
	CodeBrokerUnavailable       Code = "broker_unavailable"
	CodeDatabaseUnavailable     Code = "database_unavailable"
	CodePublishUnknown          Code = "publish_unknown"
	CodeShuttingDown            Code = "shutting_down"
	CodeReplayRunning           Code = "replay_running"
	CodeDeadLetterJobRunning    Code = "dead_letter_job_running"
)

// Error is a refusal by the service, or by a proxy before it.
type Error struct {
	// Status is the HTTP status.
	Status int `json:"status"`
	// Code names the problem; "" where the answer was no problem document.
	Code Code `json:"code"`
	// Detail says in a sentence what is wrong.
	Detail string `json:"detail"`
	// Fields names what is to blame.
	Fields []FieldError `json:"errors,omitempty"`
	// RequestID finds the call in the service's log.
	RequestID string `json:"request_id,omitempty"`
	// RetryAfter is how long to wait before trying again; 0 where nothing was said.
	RetryAfter time.Duration `json:"-"`
}

// FieldError says what is wrong with a field, a parameter or a header.
type FieldError struct {
	// Pointer is a JSON pointer into the body (RFC 6901), or the name of a parameter or
	// header.
	Pointer string `json:"pointer"`
	// Message says which rule it breaks.
	Message string `json:"message"`
}

// Error says it in one line, fields and request id included.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Code != "" {
		fmt.Fprintf(&b, "%s: ", string(e.Code))
	}
	b.WriteString(e.Detail)
	separator := " "
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "%s%s %s", separator, f.Pointer, f.Message)
		separator = ", "
	}
	fmt.Fprintf(&b, " (HTTP %d", e.Status)
	if e.RequestID != "" {
		fmt.Fprintf(&b, ", request %s", e.RequestID)
	}
	b.WriteString(")")
	return b.String()
}

// Is reports whether target is the code of the error.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// problem returns the error that an answer is.
func problem(status int, header http.Header, body []byte) *Error {
	e := &Error{}
	if json.Unmarshal(body, e) != nil || e.Detail == "" {
		*e = Error{Detail: http.StatusText(status)}
		if e.Detail == "" {
			e.Detail = "not an answer of the service"
		}
	}
	e.Status = status
	if e.RequestID == "" {
		e.RequestID = header.Get("X-Request-ID")
	}
	e.RetryAfter = retryAfter(header, time.Now())
	return e
}

// retryAfter reads the header in both of its forms (RFC 9110, section 10.2.3).
func retryAfter(header http.Header, now time.Time) time.Duration {
	text := header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
