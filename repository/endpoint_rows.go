package repository

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/sealing"
)

// endpointColumns are those of an endpoint e, as endpointRow.targets takes them.
const endpointColumns = `
    e.tenant_id, e.id, coalesce(e.external_id, ''), e.url, e.description, e.types, e.timeout_ms, e.concurrency, e.rate,
    e.ordering, e.on_failure, e.retry_schedule_ms, e.retry_final, e.headers, e.secret, e.old_secret,
    coalesce(e.old_secret_until, 'epoch'), e.sealed_with, e.status, e.status_reason, e.version, e.created_at, e.updated_at`

// endpointRow is a row of endpoints; see Store.readEndpoint.
type endpointRow struct {
	e                          domain.Endpoint
	types                      []string
	timeoutMS                  int64
	scheduleMS                 []int64
	final                      []int32
	ordering, onFailure        string
	headers, secret, oldSecret []byte
	sealedWith                 string
	status                     string
}

// targets returns where to scan endpointColumns to.
func (r *endpointRow) targets() []any {
	return []any{
		&r.e.TenantID, &r.e.ID, &r.e.ExternalID, &r.e.URL, &r.e.Description, &r.types, &r.timeoutMS, &r.e.Concurrency, &r.e.Rate,
		&r.ordering, &r.onFailure, &r.scheduleMS, &r.final, &r.headers, &r.secret, &r.oldSecret,
		&r.e.OldSecretUntil, &r.sealedWith, &r.status, &r.e.StatusReason, &r.e.Version, &r.e.CreatedAt, &r.e.UpdatedAt,
	}
}

// readEndpoint returns the endpoint of a row. One whose secrets or headers cannot be
// decrypted is Unreadable, and has none.
func (s *Store) readEndpoint(r *endpointRow) domain.Endpoint {
	e := r.e
	e.Timeout = time.Duration(r.timeoutMS) * time.Millisecond
	e.Ordering, e.OnFailure = domain.Ordering(r.ordering), domain.OnFailure(r.onFailure)
	e.Status = domain.EndpointStatus(r.status)
	e.CreatedAt, e.UpdatedAt, e.OldSecretUntil = e.CreatedAt.UTC(), e.UpdatedAt.UTC(), epochIsNever(e.OldSecretUntil)
	for _, pattern := range r.types {
		e.Types = append(e.Types, domain.TypePattern(pattern))
	}
	for _, ms := range r.scheduleMS {
		e.Retry.Schedule = append(e.Retry.Schedule, time.Duration(ms)*time.Millisecond)
	}
	for _, status := range r.final {
		e.Retry.Final = append(e.Retry.Final, int(status))
	}
	if r.open(s.sealer, &e) != nil {
		e.Unreadable, e.Secret, e.OldSecret, e.Headers = true, nil, nil, nil
	}
	return e
}

// open decrypts what is encrypted. Why it cannot be does not matter: there are only
// the wrong key and none.
func (r *endpointRow) open(sealer *sealing.Sealer, e *domain.Endpoint) error {
	var err error
	if e.Secret, err = sealer.Open(r.sealedWith, r.secret, sealContext(e, "secret")); err != nil {
		return fmt.Errorf("open the secret: %w", err)
	}
	if e.OldSecret, err = sealer.Open(r.sealedWith, r.oldSecret, sealContext(e, "old_secret")); err != nil {
		return fmt.Errorf("open the old secret: %w", err)
	}
	headers, err := sealer.Open(r.sealedWith, r.headers, sealContext(e, "headers"))
	if err == nil && headers != nil {
		err = json.Unmarshal(headers, &e.Headers)
	}
	if err != nil {
		return fmt.Errorf("open the headers: %w", err)
	}
	return nil
}

// sealContext says where something encrypted belongs, so that it is of no use in
// another endpoint or another column.
func sealContext(e *domain.Endpoint, column string) []byte {
	context := make([]byte, 0, 2*len(uuid.UUID{})+len(column))
	context = append(context, e.TenantID[:]...)
	context = append(context, e.ID[:]...)
	return append(context, column...)
}

// sealedValues is what is encrypted of an endpoint.
type sealedValues struct{ headers, secret, oldSecret []byte }

// sealEndpoint encrypts what has to be, with the key that it returns.
func (s *Store) sealEndpoint(e *domain.Endpoint) (sealed sealedValues, keyID string, err error) {
	var headers []byte
	if len(e.Headers) > 0 {
		if headers, err = json.Marshal(e.Headers); err != nil {
			return sealed, "", fmt.Errorf("encode headers: %w", err)
		}
	}
	for _, value := range []struct {
		plain  []byte
		sealed *[]byte
		column string
	}{{headers, &sealed.headers, "headers"}, {e.Secret, &sealed.secret, "secret"}, {e.OldSecret, &sealed.oldSecret, "old_secret"}} {
		if keyID, *value.sealed, err = s.sealer.Seal(value.plain, sealContext(e, value.column)); err != nil {
			return sealed, "", fmt.Errorf("seal %s: %w", value.column, err)
		}
	}
	return sealed, keyID, nil
}

// endpointValues returns the values of the columns that callers can change, after
// those of the key: tenant_id, id, external_id, url, description, types, timeout_ms,
// concurrency, rate, ordering, on_failure, retry_schedule_ms, retry_final, headers,
// secret, old_secret, old_secret_until, sealed_with, status.
func (s *Store) endpointValues(e *domain.Endpoint) ([]any, error) {
	sealed, keyID, err := s.sealEndpoint(e)
	if err != nil {
		return nil, err
	}
	types, schedule, final := []string{}, []int64{}, []int32{}
	for _, pattern := range e.Types {
		types = append(types, string(pattern))
	}
	for _, wait := range e.Retry.Schedule {
		schedule = append(schedule, wait.Milliseconds())
	}
	for _, status := range e.Retry.Final {
		final = append(final, int32(status)) //nolint:gosec // an HTTP status
	}
	return []any{
		e.TenantID, e.ID, nullText(e.ExternalID), e.URL, e.Description, types, e.Timeout.Milliseconds(), e.Concurrency, e.Rate,
		string(e.Ordering), string(e.OnFailure), schedule, final, sealed.headers, sealed.secret, sealed.oldSecret,
		nullTime(e.OldSecretUntil), keyID, string(e.Status),
	}, nil
}

// epochIsNever returns the zero time for that by which statements stand for NULL.
func epochIsNever(t time.Time) time.Time {
	if t.Unix() == 0 {
		return time.Time{}
	}
	return t.UTC()
}
