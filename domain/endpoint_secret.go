package domain

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
)

// secretPrefix marks a signing secret, as Standard Webhooks has it.
const secretPrefix = "whsec_"

// NewSecret returns a fresh signing secret.
func NewSecret() []byte {
	const size = 32
	secret := make([]byte, size)
	_, _ = rand.Read(secret) // it never fails
	return secret
}

// FormatSecret returns a secret as callers see it.
func FormatSecret(secret []byte) string {
	return secretPrefix + base64.StdEncoding.EncodeToString(secret)
}

// ParseSecret returns the secret that a caller gives, or what is wrong with it.
func ParseSecret(text string) (secret []byte, problem string) {
	encoded, found := strings.CutPrefix(text, secretPrefix)
	if !found {
		return nil, "must be " + secretPrefix + " and the secret in base64"
	}
	encoding := base64.StdEncoding
	if !strings.HasSuffix(encoded, "=") {
		encoding = base64.RawStdEncoding // what others give out has often lost its padding
	}
	secret, err := encoding.DecodeString(encoded)
	switch {
	case err != nil || strings.ContainsAny(encoded, "\r\n"):
		return nil, "must be " + secretPrefix + " and the secret in base64"
	case len(secret) < MinSecretSize || len(secret) > MaxSecretSize:
		return nil, fmt.Sprintf("must have a secret of %d to %d bytes", MinSecretSize, MaxSecretSize)
	}
	return secret, ""
}
