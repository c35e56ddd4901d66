package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
)

// Cost is what hashing a password with argon2id costs.
type Cost struct {
	Time      uint32
	MemoryKiB uint32
	Threads   uint8
}

// DefaultCost returns what OWASP's Password Storage Cheat Sheet recommends at least. It
// is as much as can be spent on a processor that others wait for; the index
// users_password_form_idx knows it, too.
func DefaultCost() Cost { return Cost{Time: 2, MemoryKiB: 19 << 10, Threads: 1} }

const (
	saltLength = 16
	hashLength = 32
	// bcryptLength is how much of a password bcrypt looks at.
	bcryptLength = 72

	// Hashes that would cost more than this are refused: they come from rows
	// that somebody else wrote.
	maxTime       = 16
	maxMemoryKiB  = 256 << 10
	maxThreads    = 16
	maxBcryptCost = 14
)

// errUnknownHash says that a stored hash is none that is understood.
var errUnknownHash = errors.New("unknown form of password hash")

// form is how a password is hashed, as far as that takes time.
type form struct {
	bcrypt int // the cost of bcrypt, or 0
	argon2 Cost
}

// passwords hashes and verifies passwords. It is safe for concurrent use.
type passwords struct {
	cost  Cost
	turns *turns

	// The two computations; tests count them.
	derive  func(password string, cost Cost, salt []byte, length uint32) []byte
	compare func(bcryptHash, password []byte) error
}

func newPasswords(cost Cost) *passwords {
	return &passwords{cost: cost, turns: newTurns(), derive: derive, compare: bcrypt.CompareHashAndPassword}
}

// hash returns the argon2id hash of password in PHC string format, once it is by's
// turn. The error is that of turns.take.
func (p *passwords) hash(ctx context.Context, by asker, password string) (string, error) {
	done, err := p.turns.take(ctx, by)
	if err != nil {
		return "", err
	}
	defer done()
	return p.hashNow(password), nil
}

// hashNow is hash for who has a turn.
func (p *passwords) hashNow(password string) string {
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails
	return phc{cost: p.cost, salt: salt, sum: p.derive(password, p.cost, salt, hashLength)}.String()
}

// verify reports whether password is the one that was hashed, and whether the hash
// should be replaced by a better one; the caller has a turn. A wrong password takes
// the same time whatever form the hash has, and also when there is none (""): one
// computation for each of forms, which are those that there are besides the one that
// is made now.
func (p *passwords) verify(hash, password string, forms []form) (ok, outdated bool, err error) {
	own, err := formOf(hash)
	if err == nil {
		ok, err = p.matches(hash, password, own)
	}
	switch {
	case err != nil:
		own = form{} // of which nothing was computed
	case ok:
		// Of a longer password bcrypt knows the beginning only, so what was
		// typed after that need not be what the owner wants.
		return true, own != p.current() && (own.bcrypt == 0 || len(password) <= bcryptLength), nil
	}
	if hash == "" {
		err = nil
	}
	for _, f := range append([]form{p.current()}, forms...) {
		if f != own {
			p.burn(f, password)
		}
	}
	return false, false, err
}

func (p *passwords) current() form { return form{argon2: p.cost} }

func (p *passwords) matches(hash, password string, own form) (bool, error) {
	if own.bcrypt > 0 {
		err := p.compare([]byte(hash), beginning(password))
		if err != nil && !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
			return false, errUnknownHash
		}
		return err == nil, nil
	}
	stored, err := parsePHC(hash)
	if err != nil {
		return false, err
	}
	sum := p.derive(password, stored.cost, stored.salt, uint32(len(stored.sum))) //nolint:gosec // parsePHC bounds it
	return subtle.ConstantTimeCompare(sum, stored.sum) == 1, nil
}

// burn takes the time of a hash of this form.
func (p *passwords) burn(f form, password string) {
	if f.bcrypt == 0 {
		p.derive(password, f.argon2, make([]byte, saltLength), hashLength)
		return
	}
	hash := fmt.Sprintf("$2a$%02d$%s", f.bcrypt, strings.Repeat("u", 22+31)) // salt and sum
	_ = p.compare([]byte(hash), beginning(password))
}

func derive(password string, cost Cost, salt []byte, length uint32) []byte {
	return argon2.IDKey([]byte(password), salt, cost.Time, cost.MemoryKiB, cost.Threads, length)
}

func beginning(password string) []byte {
	return []byte(password)[:min(len(password), bcryptLength)]
}

// formOf returns the form of a hash, or of what its beginning says, which is an
// errUnknownHash when it is not understood or costs too much.
func formOf(hash string) (form, error) {
	parts := strings.Split(hash, "$")
	if len(parts) < 4 || parts[0] != "" {
		return form{}, errUnknownHash
	}
	if slices.Contains([]string{"2a", "2b", "2y"}, parts[1]) {
		cost := 0
		_, err := fmt.Sscanf(parts[2], "%2d", &cost)
		if err != nil || len(parts[2]) != 2 || cost < bcrypt.MinCost || cost > maxBcryptCost {
			return form{}, errUnknownHash
		}
		return form{bcrypt: cost}, nil
	}
	var cost Cost
	if parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return form{}, errUnknownHash
	}
	_, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &cost.MemoryKiB, &cost.Time, &cost.Threads)
	sane := cost.Time >= 1 && cost.Time <= maxTime &&
		cost.MemoryKiB >= 8 && cost.MemoryKiB <= maxMemoryKiB &&
		cost.Threads >= 1 && cost.Threads <= maxThreads
	if err != nil || !sane {
		return form{}, errUnknownHash
	}
	return form{argon2: cost}, nil
}

// phc is an argon2id hash with its parameters.
type phc struct {
	cost Cost
	salt []byte
	sum  []byte
}

// String returns the hash in PHC string format.
func (h phc) String() string {
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s",
		argon2.Version, h.cost.MemoryKiB, h.cost.Time, h.cost.Threads, encode(h.salt), encode(h.sum))
}

// parsePHC parses what String returns.
func parsePHC(text string) (phc, error) {
	f, err := formOf(text)
	parts := strings.Split(text, "$")
	if err != nil || f.bcrypt > 0 || len(parts) != 6 {
		return phc{}, errUnknownHash
	}
	h := phc{cost: f.argon2}
	var saltErr, sumErr error
	h.salt, saltErr = base64.RawStdEncoding.DecodeString(parts[4])
	h.sum, sumErr = base64.RawStdEncoding.DecodeString(parts[5])
	if saltErr != nil || sumErr != nil || len(h.salt) < 8 || len(h.sum) < 16 || len(h.sum) > 64 {
		return phc{}, errUnknownHash
	}
	return h, nil
}
