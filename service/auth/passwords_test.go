package auth

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/bcrypt"

	"lanekeeper/domain"
)

func TestHostileHashes(t *testing.T) {
	t.Parallel()
	p := newPasswords(cheap)
	for _, hash := range []string{
		"$argon2id$", "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$", "$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
		"$argon2id$v=19$m=4294967295,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA", "$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
		"$argon2id$v=19$m=64,t=99999,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA", "$argon2id$v=19$m=64,t=1,p=0$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
		"$argon2id$v=19$m=64,t=1,p=1$!$c2FsdHNhbHRzYWx0c2FsdA", "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$c2FsdHNhbHRzYWx0c2FsdA",
		"$2a$31$abcdefghijklmnopqrstuuJ1HcbZYkPAwKKXwVYyG3GBVJkBmBPsS", "$2a$10$", "$2x$10$abcdefghijklmnopqrstuuJ1HcbZYkPAwKKXwVYyG3GBVJkBmBPsS",
		"plain", "$1$x",
	} {
		ok, _, err := p.verify(hash, "plain", nil)
		require.ErrorIs(t, err, errUnknownHash, hash)
		require.False(t, ok)
	}
}

// The index that says which hashes are outdated knows the same cost.
func TestDefaultCost(t *testing.T) {
	t.Parallel()
	p := newPasswords(DefaultCost())
	hash := p.hashNow("correct horse battery")
	require.True(t, strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$"))
	ok, outdated, err := p.verify(hash, "correct horse battery", nil)
	require.NoError(t, err)
	require.True(t, ok)
	require.False(t, outdated)
}

// countComputations makes p note what it computes.
func countComputations(t *testing.T, p *passwords) (computed *[]string) {
	t.Helper()
	computed = new([]string)
	derive, compare := p.derive, p.compare
	p.derive = func(password string, cost Cost, salt []byte, length uint32) []byte {
		*computed = append(*computed, fmt.Sprint("argon2id ", cost))
		return derive(password, cost, salt, length)
	}
	p.compare = func(hash, password []byte) error {
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			return compare(hash, password) // computes nothing
		}
		err = compare(hash, password)
		if err == nil || errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) {
			*computed = append(*computed, fmt.Sprint("bcrypt ", cost))
		}
		return err
	}
	return computed
}

// hashes returns one hash in each of several forms, the current one first.
func hashes(t *testing.T, password string) []string {
	t.Helper()
	old, err := bcrypt.GenerateFromPassword([]byte(password), 5)
	require.NoError(t, err)
	return []string{
		newPasswords(cheap).hashNow(password),
		newPasswords(Cost{Time: 3, MemoryKiB: 128, Threads: 4}).hashNow(password),
		string(old), "$2b$" + strings.TrimPrefix(string(old), "$2a$"),
	}
}

func TestFailuresCostTheSame(t *testing.T) {
	t.Parallel()
	p := newPasswords(cheap)
	stored := hashes(t, "correct horse battery")
	forms := formsOf(stored, p.current())
	require.Len(t, forms, 2, "what costs the same counts once")
	want := []string{"argon2id {1 64 1}", "argon2id {3 128 4}", "bcrypt 5"}
	computed := countComputations(t, p)
	for _, hash := range append(stored, "", "md5:x", "$2a$05$", "$argon2id$v=19$m=128,t=3,p=4$!$!", "$2a$31$abc") {
		*computed = nil
		ok, _, _ := p.verify(hash, "wrong", forms)
		require.False(t, ok)
		require.ElementsMatch(t, want, *computed, hash)
	}
	for i, hash := range stored {
		*computed = nil
		ok, outdated, err := p.verify(hash, "correct horse battery", forms)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, i > 0, outdated)
		require.Len(t, *computed, 1, "who knows the password waits for one")
	}
}

// Once all passwords are hashed as they are now, nothing else is computed; and what is
// inserted by SQL is found soon.
func TestNothingIsBurnedForForms(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ada := b.addUser(t, "ada@example.com")
	computed := countComputations(t, b.passwords)
	fail := func(email string) []string {
		*computed = nil
		_, err := b.Login(t.Context(), email, "wrong", "10.0.0.1")
		require.ErrorIs(t, err, domain.ErrUnauthenticated)
		return *computed
	}
	argon := "argon2id {1 64 1}"
	require.Equal(t, []string{argon}, fail("ada@example.com"))
	require.Equal(t, []string{argon}, fail("nobody@example.com"))
	require.Equal(t, 1, b.mem.asked, "it is not asked each time")

	old := hashes(t, "correct horse battery")[2]
	b.mem.set(func() { b.mem.forms = []string{old[:7]} })
	require.Equal(t, []string{argon}, fail("nobody@example.com"))
	b.clock.move(formsFresh)
	require.ElementsMatch(t, []string{argon, "bcrypt 5"}, fail("nobody@example.com"))
	require.ElementsMatch(t, []string{argon, "bcrypt 5"}, fail("ada@example.com"))

	// A login that meets a form that was not there a moment ago has it looked up.
	b.setHash(ada, hashes(t, "correct horse battery")[1])
	b.mem.set(func() { b.mem.forms = []string{old[:7], "$argon2id$v=19$m=128,t=3,p=4$"} })
	require.Len(t, fail("ada@example.com"), 3)
	require.Len(t, fail("nobody@example.com"), 3)
}

func TestFormsAreBounded(t *testing.T) {
	t.Parallel()
	var texts []string
	for cost := range 20 {
		texts = append(texts, fmt.Sprintf("$2a$%02d$", cost), fmt.Sprintf("$2b$%02d$", cost))
	}
	forms := formsOf(texts, form{bcrypt: 5})
	require.Equal(t, []form{{bcrypt: 4}, {bcrypt: 6}, {bcrypt: 7}, {bcrypt: 8}}, forms)
}
