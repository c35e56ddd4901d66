package devstack

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
)

const (
	// passwordBytes is how many random bytes a password has.
	passwordBytes = 32
	// secretMode is that of files with passwords.
	secretMode = 0o600
)

// errNoPassword: a file that should have a password has none.
var errNoPassword = errors.New("has no password; remove it, and a new one is made")

// secret is a password that is known once a server starts. It is safe for
// concurrent use.
type secret struct{ text atomic.Pointer[string] }

// get returns the password, or "" for none.
func (s *secret) get() string {
	if text := s.text.Load(); text != nil {
		return *text
	}
	return ""
}

func (s *secret) set(text string) { s.text.Store(&text) }

// passwordFile is where the password of the named server is.
func (o Options) passwordFile(name string) string {
	return filepath.Join(o.Dir, name+".password")
}

// password returns the password of the named server, or a new one that is not in
// its file yet.
func (o Options) password(name string) (text string, kept bool, err error) {
	path := o.passwordFile(name)
	content, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		random := make([]byte, passwordBytes)
		_, _ = rand.Read(random) // never fails, see its documentation
		return hex.EncodeToString(random), false, nil
	case err != nil:
		return "", false, fmt.Errorf("read a password: %w", err)
	}
	// Whoever copied the directory may have opened it.
	if err := os.Chmod(path, secretMode); err != nil {
		return "", false, fmt.Errorf("close a password's file: %w", err)
	}
	if text = strings.TrimSpace(string(content)); text == "" || strings.Trim(text, "0123456789abcdef") != "" {
		return "", false, fmt.Errorf("%s: %w", path, errNoPassword)
	}
	return text, true, nil
}

// keepPassword writes it to its file.
func (o Options) keepPassword(name, text string) error {
	return account{}.write(o.passwordFile(name), text+"\n", secretMode)
}

// hidden returns text without the password, for errors and logs.
func hidden(text []byte, password string) string {
	return strings.TrimSpace(strings.ReplaceAll(string(text), password, "xxxxx"))
}

// brokerHash returns the password as RabbitMQ keeps it: a salt, and SHA-256 of salt
// and password (its documentation, "Passwords").
func brokerHash(password string) string {
	salted := make([]byte, 4, 4+sha256.Size)
	_, _ = rand.Read(salted)
	sum := sha256.Sum256(append(salted[:4:4], password...))
	return base64.StdEncoding.EncodeToString(append(salted, sum[:]...))
}
