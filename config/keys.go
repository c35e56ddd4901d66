package config

import (
	"encoding/base64"
	"encoding/hex"
)

// encryptionKeySize is how many bytes a key has.
const encryptionKeySize = 32

// decodeKey returns a key that is written in base64, with or without padding, or in
// hexadecimal digits.
func decodeKey(text string) (key []byte, ok bool) {
	if key, err := hex.DecodeString(text); err == nil && len(key) == encryptionKeySize {
		return key, true
	}
	for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		if key, err := encoding.Strict().DecodeString(text); err == nil && len(key) == encryptionKeySize {
			return key, true
		}
	}
	return nil, false
}
