package postgres

import (
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
)

// UUIDs is an argument of type uuid[]. The driver would encode a []uuid.UUID
// as text, with a dozen allocations for each element.
type UUIDs []uuid.UUID

// Dimensions implements pgtype.ArrayGetter.
func (a UUIDs) Dimensions() []pgtype.ArrayDimension {
	if a == nil {
		return nil
	}
	return []pgtype.ArrayDimension{{Length: int32(len(a)), LowerBound: 1}} //nolint:gosec // a message cannot hold that many
}

// Index implements pgtype.ArrayGetter.
func (a UUIDs) Index(i int) any { return (*uuidValue)(&a[i]) }

// IndexType implements pgtype.ArrayGetter.
func (a UUIDs) IndexType() any { return (*uuidValue)(nil) }

// uuidValue is used as a pointer, which costs nothing as an interface.
type uuidValue uuid.UUID

// UUIDValue implements pgtype.UUIDValuer.
func (v *uuidValue) UUIDValue() (pgtype.UUID, error) { return pgtype.UUID{Bytes: *v, Valid: true}, nil }
