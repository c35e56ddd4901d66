package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// An API key is written as
//
//	lk_<id>_<secret><checksum>
//
// in digits 0-9a-f only: 32 of the id, 64 of the secret, and 8 of the CRC-32 (IEEE)
// of everything before them. The checksum tells those who look for lost secrets, and
// us, that a text is a key, without asking anybody. As a regular expression:
//
//	\blk_[0-9a-f]{32}_[0-9a-f]{72}\b
const (
	apiKeyPrefix    = "lk_"
	apiKeyIDLength  = 32 // as are the numbers below, in hexadecimal digits
	secretBytes     = 32
	checksumLength  = 8
	apiKeyLength    = len(apiKeyPrefix) + apiKeyIDLength + 1 + 2*secretBytes + checksumLength
	apiKeySeparator = len(apiKeyPrefix) + apiKeyIDLength // where the "_" stands
)

// isAPIKey reports whether an Authorization header is meant to have a key in it.
func isAPIKey(text string) bool { return strings.HasPrefix(text, apiKeyPrefix) }

// newAPIKey returns the text of a fresh key with this id, and the hash of its secret.
func newAPIKey(id uuid.UUID) (text string, hash []byte) {
	secret := make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails, see its documentation
	text = apiKeyPrefix + hex.EncodeToString(id[:]) + "_" + hex.EncodeToString(secret)
	return text + checksum(text), secretHash(secret)
}

// parseAPIKey returns the id of a key and the hash of its secret; ok is false for
// what newAPIKey cannot have returned. It has one spelling.
func parseAPIKey(text string) (id uuid.UUID, hash []byte, ok bool) {
	if len(text) != apiKeyLength || !isAPIKey(text) || text[apiKeySeparator] != '_' || strings.ToLower(text) != text {
		return uuid.Nil, nil, false
	}
	body, sum := text[:apiKeyLength-checksumLength], text[apiKeyLength-checksumLength:]
	if checksum(body) != sum {
		return uuid.Nil, nil, false
	}
	if _, err := hex.Decode(id[:], []byte(text[len(apiKeyPrefix):apiKeySeparator])); err != nil {
		return uuid.Nil, nil, false
	}
	secret, err := hex.DecodeString(body[apiKeySeparator+1:])
	if err != nil || id == uuid.Nil {
		return uuid.Nil, nil, false
	}
	return id, secretHash(secret), true
}

func secretHash(secret []byte) []byte {
	hash := sha256.Sum256(secret)
	return hash[:]
}

func checksum(text string) string {
	sum := strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(text))), 16)
	return fmt.Sprintf("%0*s", checksumLength, sum)
}
