package domain

import (
	"fmt"
	"time"

	"github.com/google/uuid"
)

// MaxIdempotencyKeyLength is the number of characters a key may have.
const MaxIdempotencyKeyLength = 255

// IdempotencyLifetime is how long a key is remembered.
const IdempotencyLifetime = 24 * time.Hour

// CheckIdempotencyKey returns an ErrInvalid unless key has 1 to
// MaxIdempotencyKeyLength printable ASCII characters. Pointer names the field
// or header the key came in.
func CheckIdempotencyKey(key, pointer string) error {
	ok := key != "" && len(key) <= MaxIdempotencyKeyLength
	for i := 0; ok && i < len(key); i++ {
		ok = key[i] >= 0x20 && key[i] < 0x7f
	}
	if ok {
		return nil
	}
	return WithFields(FieldError{pointer, fmt.Sprintf("must have 1 to %d printable ASCII characters", MaxIdempotencyKeyLength)})
}

// IdempotencyClaim asks to be the one call that acts under a key.
type IdempotencyClaim struct {
	// Scope is the tenant, or for creating tenants the user, the key belongs
	// to.
	Scope uuid.UUID
	Key   string
	// Hash is the SHA-256 of the compacted request.
	Hash [32]byte
	// ID is what the resource shall be called if the key is new.
	ID uuid.UUID
}

// IdempotencyGrant is the answer to a claim.
type IdempotencyGrant struct {
	// ID is the id under which to act: the claim's own, or that of the first
	// claim with this key.
	ID uuid.UUID
	// Confirmed: the earlier claim was carried out.
	Confirmed bool
	// Mismatch: the key was used for another request.
	Mismatch bool
}

// ConfirmedKey is a key whose request was carried out, under the id of its
// grant.
type ConfirmedKey struct {
	Key string
	ID  uuid.UUID
}

// IdempotencyMismatch is the answer when a key comes with another body.
func IdempotencyMismatch() error {
	return New(ErrInvalid, "idempotency_key_reused", "The idempotency key was used before with another body.")
}

// IdempotencyKey is what a caller sent to make a creation safe to repeat.
type IdempotencyKey struct {
	// Key is empty for none.
	Key string
	// Hash is the SHA-256 of the compacted request.
	Hash [32]byte
}
