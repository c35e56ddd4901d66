package auth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/semaphore"

	"lanekeeper/domain"
)

// Cost is what hashing a password with argon2id costs.
type Cost struct {
	Time      uint32
	MemoryKiB uint32
	Threads   uint8
}

// DefaultCost returns the second recommended option of RFC 9106, section 4.
func DefaultCost() Cost { return Cost{Time: 3, MemoryKiB: 64 << 10, Threads: 4} }

const (
	saltLength = 16
	hashLength = 32
	// parallelHashes is how many passwords are hashed at a time: logins take
	// 128 MiB at most, however many there are.
	parallelHashes = 2
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

// passwords hashes and verifies passwords. It is safe for concurrent use.
type passwords struct {
	cost  Cost
	slots *semaphore.Weighted
	// bcryptCost is that of the bcrypt hash seen last: what a login of
	// an unknown user must cost as well.
	bcryptCost atomic.Int32

	// The two computations; tests count them.
	derive  func(password string, cost Cost, salt []byte, length uint32) []byte
	compare func(bcryptHash, password []byte) error
}

func newPasswords(cost Cost) *passwords {
	p := &passwords{
		cost: cost, slots: semaphore.NewWeighted(parallelHashes),
		derive: derive, compare: bcrypt.CompareHashAndPassword,
	}
	p.bcryptCost.Store(int32(bcrypt.DefaultCost))
	return p
}

// hash returns the argon2id hash of password in PHC string format.
func (p *passwords) hash(ctx context.Context, password string) (string, error) {
	if err := p.acquire(ctx); err != nil {
		return "", err
	}
	defer p.slots.Release(1)
	salt := make([]byte, saltLength)
	_, _ = rand.Read(salt) // never fails
	return phc{cost: p.cost, salt: salt, sum: p.derive(password, p.cost, salt, hashLength)}.String(), nil
}

// verify reports whether password is the one that was hashed, and whether the
// hash should be replaced by a better one. A wrong password takes the same
// time whatever form the hash has, and also when there is none (""): an
// argon2id and a bcrypt computation each.
func (p *passwords) verify(ctx context.Context, hash, password string) (ok, outdated bool, err error) {
	if err := p.acquire(ctx); err != nil {
		return false, false, err
	}
	defer p.slots.Release(1)
	switch {
	case hash == "":
		p.burnArgon2(password)
		p.burnBcrypt(password)
		return false, false, nil
	case strings.HasPrefix(hash, "$argon2id$"):
		stored, err := parsePHC(hash)
		if err != nil {
			return false, false, err
		}
		sum := p.derive(password, stored.cost, stored.salt, uint32(len(stored.sum))) //nolint:gosec // parsePHC bounds it
		if subtle.ConstantTimeCompare(sum, stored.sum) == 1 {
			return true, stored.cost != p.cost, nil
		}
		p.burnBcrypt(password)
		return false, false, nil
	case strings.HasPrefix(hash, "$2a$"), strings.HasPrefix(hash, "$2b$"), strings.HasPrefix(hash, "$2y$"):
		ok, err := p.verifyBcrypt(hash, password)
		if err == nil && !ok {
			p.burnArgon2(password)
		}
		// Of a longer password bcrypt knows the beginning only, so what was
		// typed after that need not be what the owner wants.
		return ok, ok && len(password) <= bcryptLength, err
	}
	p.burnArgon2(password)
	p.burnBcrypt(password)
	return false, false, errUnknownHash
}

func (p *passwords) verifyBcrypt(hash, password string) (bool, error) {
	cost, err := bcrypt.Cost([]byte(hash))
	if err != nil || cost > maxBcryptCost {
		return false, errUnknownHash
	}
	p.bcryptCost.Store(int32(cost)) //nolint:gosec // at most maxBcryptCost
	err = p.compare([]byte(hash), beginning(password))
	if err != nil && !errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
		return false, errUnknownHash
	}
	return err == nil, nil
}

func (p *passwords) burnArgon2(password string) {
	p.derive(password, p.cost, make([]byte, saltLength), hashLength)
}

func (p *passwords) burnBcrypt(password string) {
	hash := fmt.Sprintf("$2a$%02d$%s", p.bcryptCost.Load(), strings.Repeat("u", 22+31)) // salt and sum
	_ = p.compare([]byte(hash), beginning(password))
}

func (p *passwords) acquire(ctx context.Context) error {
	if err := p.slots.Acquire(ctx, 1); err != nil {
		return domain.Wrap(err, domain.ErrUnavailable, "logins_busy", "Too many logins at a time; try again.").After(time.Second)
	}
	return nil
}

func derive(password string, cost Cost, salt []byte, length uint32) []byte {
	return argon2.IDKey([]byte(password), salt, cost.Time, cost.MemoryKiB, cost.Threads, length)
}

func beginning(password string) []byte {
	return []byte(password)[:min(len(password), bcryptLength)]
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
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return phc{}, errUnknownHash
	}
	var h phc
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.cost.MemoryKiB, &h.cost.Time, &h.cost.Threads); err != nil {
		return phc{}, errUnknownHash
	}
	var saltErr, sumErr error
	h.salt, saltErr = base64.RawStdEncoding.DecodeString(parts[4])
	h.sum, sumErr = base64.RawStdEncoding.DecodeString(parts[5])
	sane := h.cost.Time >= 1 && h.cost.Time <= maxTime &&
		h.cost.MemoryKiB >= 8 && h.cost.MemoryKiB <= maxMemoryKiB &&
		h.cost.Threads >= 1 && h.cost.Threads <= maxThreads &&
		len(h.salt) >= 8 && len(h.sum) >= 16 && len(h.sum) <= 64
	if saltErr != nil || sumErr != nil || !sane {
		return phc{}, errUnknownHash
	}
	return h, nil
}
