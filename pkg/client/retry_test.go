package client_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/client"
)

// one is a message.
func one() client.NewMessage { return client.NewMessage{Payload: json.RawMessage(`1`)} }

const accepted = `{"id":"m1","tenant_id":"t1","status":"accepted"}`

// What is safe to repeat is tried again, and never before Retry-After says.
func TestWaitsForRetryAfter(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
		var c calls
		inTime(t, func(w http.ResponseWriter, r *http.Request) {
			if c.next(r) < 3 {
				refuse(w, status, "busy", "4")
				return
			}
			say(w, http.StatusAccepted, accepted)
		}, func(t *testing.T, w *world) {
			receipt, err := w.client.Publish(t.Context(), one())
			require.NoError(t, err)
			require.Equal(t, "m1", receipt.ID)
			require.GreaterOrEqual(t, w.since(), 8*time.Second)
			require.Less(t, w.since(), 10*time.Second)
			keys := c.seen()
			require.Len(t, keys, 3)
			require.NotEmpty(t, keys[0])
			require.Equal(t, []string{keys[0], keys[0], keys[0]}, keys, "one key for all attempts")
			require.Equal(t, keys[0], receipt.IdempotencyKey)
		})
	}
}

// A wait that is longer than the time that is left is not begun.
func TestRetriesEnd(t *testing.T) {
	t.Parallel()
	var c calls
	retryAfter := "29"
	down := func(w http.ResponseWriter, r *http.Request) {
		c.next(r)
		refuse(w, http.StatusServiceUnavailable, "broker_unavailable", retryAfter)
	}
	inTime(t, down, func(t *testing.T, w *world) {
		_, err := w.client.Publish(t.Context(), one())
		require.ErrorIs(t, err, client.CodeBrokerUnavailable)
		require.Len(t, c.seen(), 2)
		require.Less(t, w.since(), client.DefaultRetryFor)

		var refused *client.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, 29*time.Second, refused.RetryAfter)
		require.Equal(t, "broker_unavailable: It is so. (HTTP 503, request r1)", err.Error())
	})
	retryAfter = ""
	inTime(t, down, func(t *testing.T, w *world) {
		_, err := w.client.Me(t.Context())
		require.ErrorIs(t, err, client.CodeBrokerUnavailable)
		require.Greater(t, w.since(), client.DefaultRetryFor/2)
		require.LessOrEqual(t, w.since(), client.DefaultRetryFor)
		require.Less(t, len(c.seen()), 20, "the pauses grow")
	})
	begun := len(c.seen())
	inTime(t, down, func(t *testing.T, w *world) {
		_, err := w.client.Me(t.Context())
		require.ErrorIs(t, err, client.CodeBrokerUnavailable)
		require.Zero(t, w.since())
		require.Len(t, c.seen(), begun+1)
	}, client.WithRetryFor(0))
}

func TestRetriesEndWithTheContext(t *testing.T) {
	t.Parallel()
	inTime(t, func(w http.ResponseWriter, _ *http.Request) { refuse(w, http.StatusServiceUnavailable, "busy", "10") }, func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		_, err := w.client.Publish(ctx, one())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, client.Code("busy"), "it says what it was waiting for")
		require.Equal(t, 3*time.Second, w.since())
	})
}

// What must not happen twice is repeated only when it certainly did not happen.
func TestWhatIsRepeated(t *testing.T) {
	t.Parallel()
	rotate := func(ctx context.Context, c *client.Client) error {
		_, err := c.Endpoints.RotateSecret(ctx, "e1", -1, "")
		return err
	}
	publish := func(ctx context.Context, c *client.Client) error {
		_, err := c.Publish(ctx, one())
		return err
	}
	me := func(ctx context.Context, c *client.Client) error {
		_, err := c.Me(ctx)
		return err
	}
	refuseWith := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { refuse(w, status, "c", "") }
	}
	cutOff := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	halfAnAnswer := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, `{"role":`)
	}
	keyless := client.WithoutGeneratedKeys()
	for name, c := range map[string]struct {
		fails   http.HandlerFunc
		call    func(context.Context, *client.Client) error
		again   bool
		options []client.Option
	}{
		"reading, 503":             {refuseWith(503), me, true, nil},
		"reading, 502":             {refuseWith(502), me, true, nil},
		"reading, 500":             {refuseWith(500), me, false, nil},
		"reading, 404":             {refuseWith(404), me, false, nil},
		"reading, cut off":         {cutOff, me, true, nil},
		"reading, half an answer":  {halfAnAnswer, me, true, nil},
		"with a key, 503":          {refuseWith(503), publish, true, nil},
		"with a key, cut off":      {cutOff, publish, true, nil},
		"with a key, 409":          {refuseWith(409), publish, false, nil},
		"no key, 503":              {refuseWith(503), publish, false, []client.Option{keyless}},
		"no key, cut off":          {cutOff, publish, false, []client.Option{keyless}},
		"no key, 429":              {refuseWith(429), publish, true, []client.Option{keyless}},
		"a change of its own, 503": {refuseWith(503), rotate, false, nil},
		"a change of its own, cut": {cutOff, rotate, false, nil},
		"a change of its own, 429": {refuseWith(429), rotate, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var seen calls
			inTime(t, func(w http.ResponseWriter, r *http.Request) {
				if seen.next(r) == 1 {
					c.fails(w, r)
					return
				}
				say(w, http.StatusOK, `{}`)
			}, func(t *testing.T, w *world) {
				err := c.call(t.Context(), w.client)
				if c.again {
					require.NoError(t, err)
					require.Len(t, seen.seen(), 2)
					return
				}
				require.Error(t, err)
				require.Len(t, seen.seen(), 1)
			}, c.options...)
		})
	}
}

// As long as nobody is there nothing was done, and everything is tried again.
func TestWaitsForAServerThatIsAway(t *testing.T) {
	t.Parallel()
	var seen []client.Attempted
	inTime(t, func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, `{"id":"e1"}`) }, func(t *testing.T, w *world) {
		w.away = 3
		_, err := w.client.Endpoints.RotateSecret(t.Context(), "e1", 0, "")
		require.NoError(t, err)
		require.Len(t, seen, 3)
		require.Equal(t, "/tenants/t1/endpoints/e1/rotate-secret", seen[0].Path)
		var dialing *net.OpError
		require.ErrorAs(t, seen[0].Err, &dialing)

		synctest.Wait()
		w.client.Close()
		w.away = 1 << 30
		_, err = w.client.Endpoints.RotateSecret(t.Context(), "e1", 0, "")
		require.ErrorContains(t, err, "http://service.test/api/tenants/t1/endpoints/e1/rotate-secret", "it says which server")
	}, client.WithAttempts(func(a client.Attempted) { seen = append(seen, a) }))
}

// An attempt that takes too long ends, and another one is made.
func TestAttemptsHaveALimit(t *testing.T) {
	t.Parallel()
	var c calls
	inTime(t, func(w http.ResponseWriter, r *http.Request) {
		if c.next(r) == 1 {
			<-r.Context().Done()
			return
		}
		say(w, http.StatusOK, `{"role":"admin"}`)
	}, func(t *testing.T, w *world) {
		me, err := w.client.Me(t.Context())
		require.NoError(t, err)
		require.Equal(t, client.RoleAdmin, me.Role)
		require.GreaterOrEqual(t, w.since(), 2*time.Second)
		require.Less(t, w.since(), 3*time.Second)
	}, client.WithTimeout(2*time.Second))
}

// A proxy's page is an error like any other, without its text.
func TestAnswersThatAreNoProblemDocuments(t *testing.T) {
	t.Parallel()
	inTime(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", time.Now().Add(90*time.Second).UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<html>secret</html>")
	}, func(t *testing.T, w *world) {
		_, err := w.client.Me(t.Context())
		var refused *client.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, client.Error{Status: 503, Detail: "Service Unavailable", RetryAfter: refused.RetryAfter}, *refused)
		require.InDelta(t, 90, refused.RetryAfter.Seconds(), 1)
		require.NotErrorIs(t, err, client.Code("x"))
	})
}

func TestNewRefusesURLs(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "localhost:8080", "ftp://127.0.0.1", "http://", "http://127.0.0.1?x=1", "http://[", "http://user:hunter2@127.0.0.1#x"} {
		_, err := client.New(url)
		require.Error(t, err, url)
		require.NotContains(t, err.Error(), "hunter2")
	}
	for url, want := range map[string]string{
		"http://127.0.0.1:8080": "http://127.0.0.1:8080", "http://127.0.0.1/api/": "http://127.0.0.1", "https://example.test/lanes/": "https://example.test/lanes",
	} {
		c, err := client.New(url)
		require.NoError(t, err, url)
		require.Equal(t, want, c.URL())
	}
}
