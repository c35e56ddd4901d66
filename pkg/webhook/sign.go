package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// The headers of a message, as Standard Webhooks names them.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"
)

// maxSignatures is how many secrets sign a message: the one that holds and the one
// before.
const maxSignatures = 2

// signatures returns what goes into the header webhook-signature: a signature with
// each of the secrets, separated by spaces.
func signatures(secrets [][]byte, id string, at time.Time, body []byte) string {
	all := make([]string, 0, maxSignatures)
	for _, secret := range secrets[:min(len(secrets), maxSignatures)] {
		all = append(all, signature(secret, id, at, body))
	}
	return strings.Join(all, " ")
}

// signature returns the HMAC-SHA256 of id, time and body, in the scheme v1 of
// Standard Webhooks.
func signature(secret []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + timestamp(at) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// timestamp returns whole seconds since 1970.
func timestamp(at time.Time) string { return strconv.FormatInt(at.Unix(), 10) }
