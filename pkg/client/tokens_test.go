package client_test

import (
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/client"
)

// issuer issues tokens that are good for ten minutes.
type issuer struct {
	logins  atomic.Int64
	revoked atomic.Int64 // tokens up to this one
	wrong   bool
}

func (i *issuer) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/api/login" {
		if i.wrong {
			refuse(w, http.StatusUnauthorized, "invalid_credentials", "")
			return
		}
		say(w, http.StatusOK, fmt.Sprintf(`{"token":"t%d","expires_at":%q}`, i.logins.Add(1), time.Now().Add(10*time.Minute).Format(time.RFC3339Nano)))
		return
	}
	var n int64
	if _, err := fmt.Sscanf(r.Header.Get("Authorization"), "Bearer t%d", &n); err != nil || n <= i.revoked.Load() {
		refuse(w, http.StatusUnauthorized, "token_revoked", "")
		return
	}
	say(w, http.StatusOK, `{"role":"member"}`)
}

func TestLogsInWhenThatIsNeeded(t *testing.T) {
	t.Parallel()
	var i issuer
	inTime(t, i.serve, func(t *testing.T, w *world) {
		var group sync.WaitGroup
		for range 20 {
			group.Go(func() {
				if _, err := w.client.Me(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		require.Equal(t, int64(1), i.logins.Load(), "one for all")

		time.Sleep(9*time.Minute + time.Second) //nolint:forbidigo // it passes at once
		_, err := w.client.Me(t.Context())
		require.NoError(t, err)
		require.Equal(t, int64(2), i.logins.Load(), "before the token ends")

		i.revoked.Store(2)
		_, err = w.client.Me(t.Context())
		require.NoError(t, err)
		require.Equal(t, int64(3), i.logins.Load(), "when it is refused")

		i.revoked.Store(1000)
		_, err = w.client.Me(t.Context())
		require.ErrorIs(t, err, client.CodeTokenRevoked)
		require.Equal(t, int64(4), i.logins.Load(), "once for a call")
	}, client.WithLogin("ada@example.com", "correct horse battery"))
}

func TestLoginThatFails(t *testing.T) {
	t.Parallel()
	i := issuer{wrong: true}
	inTime(t, i.serve, func(t *testing.T, w *world) {
		_, err := w.client.Me(t.Context())
		require.ErrorIs(t, err, client.CodeInvalidCredentials)
		require.NotContains(t, err.Error(), "correct horse")
		_, err = take(w.client.Stream(t.Context(), client.StreamOptions{}), 1)
		require.ErrorIs(t, err, client.CodeInvalidCredentials)
		require.Zero(t, w.since())
	}, client.WithLogin("ada@example.com", "correct horse battery"))
}

// A key that is refused is refused once.
func TestStaticTokensAreNotTriedTwice(t *testing.T) {
	t.Parallel()
	var c calls
	inTime(t, func(w http.ResponseWriter, r *http.Request) {
		c.next(r)
		refuse(w, http.StatusUnauthorized, "key_invalid", "")
	}, func(t *testing.T, w *world) {
		_, err := w.client.Me(t.Context())
		require.ErrorIs(t, err, client.CodeKeyInvalid)
		require.NotContains(t, err.Error(), "lk_secret")
		require.Len(t, c.seen(), 1)
	}, client.WithKey("lk_secret"))
}
