package sealing

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// KeySize is how many bytes a key has.
const KeySize = 32

// keyIDSize is how many bytes of a key's hash name it.
const keyIDSize = 8

// Errors of New and Open.
var (
	errKeySize = fmt.Errorf("a key must have %d bytes", KeySize)
	// ErrUnknownKey: there is no key of that id.
	ErrUnknownKey = errors.New("the key that it was encrypted with is not there")
	// ErrNotSealed: it was not sealed with that key and context, or was changed.
	ErrNotSealed = errors.New("it was not encrypted with this key for this purpose, or was changed since")
)

// Sealer encrypts and decrypts. It is safe for concurrent use. A nil Sealer is one
// without keys.
type Sealer struct {
	first string // "" for no keys
	keys  map[string]cipher.AEAD
}

// New returns a Sealer with these keys of KeySize bytes. Without any it leaves
// everything as it is.
func New(keys ...[]byte) (*Sealer, error) {
	s := &Sealer{keys: make(map[string]cipher.AEAD, len(keys))}
	for _, key := range keys {
		if len(key) != KeySize {
			return nil, errKeySize
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("use a key: %w", err)
		}
		aead, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			return nil, fmt.Errorf("use a key: %w", err)
		}
		id := keyID(key)
		s.keys[id] = aead
		if s.first == "" {
			s.first = id
		}
	}
	return s, nil
}

// keyID names a key without giving it away.
func keyID(key []byte) string {
	hash := sha256.Sum256(append([]byte("lanekeeper key id\x00"), key...))
	return hex.EncodeToString(hash[:keyIDSize])
}

// KeyID returns the id of the key that Seal uses; "" for none.
func (s *Sealer) KeyID() string {
	if s == nil {
		return ""
	}
	return s.first
}

// Knows reports whether Open has the key of that id; "" stands for no key.
func (s *Sealer) Knows(keyID string) bool {
	if keyID == "" {
		return true
	}
	if s == nil {
		return false
	}
	_, known := s.keys[keyID]
	return known
}

// Seal encrypts plain and returns the id of the key that it used. Only whoever
// names the same context can open it, so it is of no use in another place. Without
// keys the id is "" and sealed is plain itself. Nil stays nil.
func (s *Sealer) Seal(plain, context []byte) (keyID string, sealed []byte, err error) {
	id := s.KeyID()
	if id == "" || plain == nil {
		return id, plain, nil
	}
	return id, s.keys[id].Seal(nil, nil, plain, context), nil //nolint:gosec // it makes a random nonce of its own
}

// Open decrypts what Seal returned. The id "" is for what was not encrypted.
// Errors are ErrUnknownKey and ErrNotSealed.
func (s *Sealer) Open(keyID string, sealed, context []byte) ([]byte, error) {
	if keyID == "" || sealed == nil {
		return sealed, nil
	}
	if !s.Knows(keyID) {
		return nil, ErrUnknownKey
	}
	plain, err := s.keys[keyID].Open(nil, nil, sealed, context)
	if err != nil {
		return nil, ErrNotSealed
	}
	return plain, nil
}
