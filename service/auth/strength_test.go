package auth

import (
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

func TestStrength(t *testing.T) {
	t.Parallel()
	ann := &domain.User{Name: "Ann Featherstonehaugh", Email: "featherstonehaugh.annabel@sesquipedalian.example"}
	for _, password := range []string{
		"correct horse battery", "another horse battery", "Tr0ub4dour&3xx-kk", "k8Wq-zz3p-Lm29", "x7m3q9w2k5t8", "gravel mumble tax orbit",
		"正しい馬の電池ホチキスだよ", "зелёный чайник едет домой", strings.Repeat("x9Q-aL2", 100), "4@8({[<369!1|0$5+7%2", "ann's gravel mumble orbit",
	} {
		require.NoError(t, checkStrength("/new", password, ann), password)
	}
	for _, password := range []string{
		"password1234", "passwordpassword", "qwertyuiop12", "aaaaaaaaaaaa", "Summer2026!!", "abcdefghijkl", "123456789012", "letmein12345",
		"p455w0rd!234", "P@$$w0rd1234", "1loveyou1loveyou", "correct horse", "lanekeeper-12", "LaneKeeper!1!", "                ", "12/11/1999 ann",
		strings.Repeat("a", 1024), strings.Repeat("password", 128), strings.Repeat("я", 500), "йййййййййййй", "абвгдежзийкл",
		"featherstonehaugh", "Featherstonehaugh1", "ann featherstonehaugh", "featherstonehaugh.annabel@sesquipedalian.example", "sesquipedalian99",
	} {
		err := checkStrength("/new", password, ann)
		require.Equal(t, []string{"/new"}, pointers(t, err), password)
		require.NotContains(t, err.Error(), password)
	}
	require.NoError(t, checkStrength("/new", "featherstonehaugh9sesquipedalian", &domain.User{Name: "Bob", Email: "bob@example.com"}))
}

// Whatever somebody sends as a password, rating it ends soon.
func TestStrengthIsSoonKnown(t *testing.T) {
	t.Parallel()
	nobody := &domain.User{Name: strings.Repeat("ab ", 60), Email: "a@b.c"}
	random := rand.New(rand.NewPCG(1, 2))
	signs := make([]byte, domain.MaxPasswordLength)
	for i := range signs {
		signs[i] = "4@8({[<369!1|0$5+7%2"[random.IntN(20)]
	}
	anything := make([]rune, domain.MaxPasswordLength/4)
	for i := range anything {
		anything[i] = rune(random.IntN(0x10ffff))
	}
	for _, password := range []string{
		string(signs), string(anything), strings.Repeat("qwe", 300), strings.Repeat("asdzxc", 150), strings.Repeat("ab", 500), strings.Repeat("1a2b", 250),
		strings.Repeat("20260101", 120), strings.Repeat("1-1-99", 150), strings.Repeat("\xff", 1024), strings.Repeat("\x00\x7f", 500), strings.Repeat("K", 300),
	} {
		begun := time.Now()
		_ = checkStrength("/new", password, nobody)
		took := time.Since(begun)
		t.Logf("%.20q %v", password, took)
		require.Less(t, took, time.Second)
	}
}

func TestStrengthAtOnce(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if err := checkStrength("/new", "gravel mumble tax orbit", &domain.User{Name: strings.Repeat("x", i+3), Email: "a@b.c"}); err != nil {
				t.Error(err)
			}
			if err := checkStrength("/new", "featherstonehaugh", &domain.User{Name: "featherstonehaugh"}); err == nil {
				t.Error("it is a name")
			}
		})
	}
	wg.Wait()
}

// Nothing that somebody sends as a password or a name makes the library stumble.
func TestStrengthOfAnything(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	pieces := []string{"password", "qwerty", "asdf", "1999", "12/11/99", "1-1-2020", "aaa", "ABC", "K", "İ", "ſ", "ß", "\xff", "\x00", "я", "日本", "4@8({[<369!1|0$5+7%2", " ", "\u202e", "🔑"}
	text := func(most int) string {
		var b strings.Builder
		for range random.IntN(most) {
			if random.IntN(3) == 0 {
				b.WriteByte(byte(random.IntN(256)))
			}
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		return b.String()
	}
	refused := 0
	for range 300 {
		password, user := text(8), &domain.User{Name: text(4), Email: text(4)}
		if err := checkStrength("/new", password, user); err != nil {
			refused++
			require.ErrorIs(t, err, domain.ErrInvalid)
		}
	}
	require.Positive(t, refused)
}
