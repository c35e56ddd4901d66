package auth

import (
	"context"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ccojocar/zxcvbn-go"
	"github.com/ccojocar/zxcvbn-go/matching"

	"lanekeeper/domain"
)

const (
	// leastScore is how zxcvbn has to rate a new password: 3 of 4 is about 10^10
	// guesses, more than somebody with the database and a slow hash has patience for.
	leastScore = 3
	// judgedLength is how much of a password is rated, in characters, because rating
	// takes a time that grows with the square of the length.
	judgedLength = 40
	// shortestInput is how many characters a part of a name must have to make
	// a password worse that contains it.
	shortestInput = 3
)

// rate is checkStrength for who has no turn yet. Errors are also those of turns.take.
func (p *passwords) rate(ctx context.Context, field, password string, u *domain.User) error {
	done, err := p.turns.take(ctx, asker{by: domain.Owner(ctx)})
	if err != nil {
		return err
	}
	defer done()
	return checkStrength(field, password, u)
}

// checkStrength returns an ErrInvalid for the field unless a password is hard to guess,
// also for who knows the name and the address of its user. Whatever the password, it
// takes no longer than hashing one.
func checkStrength(field, password string, u *domain.User) error {
	inputs := append(words(u.Name), words(u.Email)...)
	inputs = append(inputs, plainText(strings.ToLower(u.Name)), plainText(u.Email), "lanekeeper")
	typed := plainText(password)
	// zxcvbn tries every way in which digits and signs may stand for letters, whose
	// number grows exponentially with how many different ones there are; so this
	// tries the usual one and its variant, and leaves that out. Letters next to each
	// other on a keyboard take long to find, and are looked for in what was typed.
	noLeet, noKeyboard := matching.FilterL33tMatcher, matching.FilterSpatialMatcher
	for _, score := range []func() int{
		func() int { return zxcvbn.PasswordStrength(typed, inputs, noLeet).Score },
		func() int { return zxcvbn.PasswordStrength(letters(typed, 'i'), inputs, noLeet, noKeyboard).Score },
		func() int { return zxcvbn.PasswordStrength(letters(typed, 'l'), inputs, noLeet, noKeyboard).Score },
	} {
		if score() < leastScore {
			return domain.WithFields(domain.FieldError{
				Pointer: field, Message: "is too easy to guess; take several words, or something random, without names",
			})
		}
	}
	return nil
}

// plainText returns the beginning of a password in ASCII, of which the library takes
// bytes for characters. Others are replaced by one each, so that what is repeated stays
// repeated.
func plainText(password string) string {
	var plain strings.Builder
	for _, r := range password {
		if r >= utf8.RuneSelf {
			r = ' ' + r%('~'-' ')
		}
		plain.WriteRune(r)
		if plain.Len() == judgedLength {
			break
		}
	}
	return plain.String()
}

// letters returns the text with the letters that its digits and signs look like; one
// is what a 1 looks like.
func letters(text string, one rune) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case '4', '@':
			return 'a'
		case '8':
			return 'b'
		case '3':
			return 'e'
		case '6', '9':
			return 'g'
		case '1', '!', '|':
			return one
		case '0':
			return 'o'
		case '5', '$':
			return 's'
		case '7', '+':
			return 't'
		case '2':
			return 'z'
		}
		return r
	}, text)
}

// words returns the parts of a name or an address.
func words(text string) []string {
	parts := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	var long []string
	for _, part := range parts {
		if utf8.RuneCountInString(part) >= shortestInput {
			long = append(long, plainText(part))
		}
	}
	return long
}
