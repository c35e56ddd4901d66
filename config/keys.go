package config

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
)

// encryptionKeySize is how many bytes a key has.
const encryptionKeySize = 32

// EncryptionKeyBytes returns the keys of EncryptionKeys, the one that encrypts first.
// The error never contains a key.
func (c Config) EncryptionKeyBytes() ([][]byte, error) {
	keys := make([][]byte, len(c.EncryptionKeys))
	for i, text := range c.EncryptionKeys {
		key, ok := decodeKey(text)
		if !ok {
			return nil, fmt.Errorf("must list keys of %d bytes, each in base64 or in hexadecimal digits, such as openssl rand -base64 %[1]d makes", encryptionKeySize)
		}
		keys[i] = key
	}
	return keys, nil
}

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
