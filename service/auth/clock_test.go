package auth

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// A replica whose machine's clock is wrong takes the tokens of the others, and
// the others take its own, as long as all have the same time for tokens.
func TestTokensFollowTheSharedClock(t *testing.T) {
	t.Parallel()
	for _, jump := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			t.Parallel()
			right := newBench(t, func(o *Options) { o.Now = time.Now })
			wrong := newBench(t, func(o *Options) {
				o.Now = func() time.Time { return time.Now().Add(jump) }
				o.Clock = time.Now
			})
			for _, pair := range [][2]*bench{{right, wrong}, {wrong, right}} {
				issuer, verifier := pair[0], pair[1]
				issuer.addUser(t, "ada@example.com")
				grant, err := issuer.IssueFor(t.Context(), "ada@example.com")
				require.NoError(t, err)
				require.WithinDuration(t, time.Now().Add(DefaultLifetime), grant.ExpiresAt, time.Minute)
				_, err = verifier.tokens.verify(t.Context(), grant.Token)
				require.NoError(t, err)
				p, err := issuer.Authenticate(t.Context(), grant.Token)
				require.NoError(t, err)
				_, err = issuer.Recheck(t.Context(), p)
				require.NoError(t, err)
				p.ExpiresAt = time.Now().Add(-time.Second)
				_, err = issuer.Recheck(t.Context(), p)
				require.ErrorIs(t, err, domain.ErrUnauthenticated)
			}
		})
	}
}
