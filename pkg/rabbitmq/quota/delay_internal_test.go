package quota

import (
	"context"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/devstack/devtest"
)

// A broker that takes a while over each answer, because it is busy or far away,
// is asked for the channels of a trial all at once: meanwhile nobody opens any.
func TestTheQuotaIsTriedOutAtOnce(t *testing.T) {
	t.Parallel()
	const each, channels = 20 * time.Millisecond, 1000
	q := newTestQuota(t, delayed(t, devtest.RabbitMQ(t), each))
	begun := time.Now()
	for range channels {
		s, err := q.Take(t.Context(), true)
		require.NoError(t, err)
		s.Opened()
	}
	require.Less(t, time.Since(begun), channels*each, "one after the other takes longer than that by itself")
}

// delayed returns the URL of a way to a server that keeps for a while whatever
// comes back.
func delayed(t *testing.T, server string, by time.Duration) string {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
	address := u.Host
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var work sync.WaitGroup
	t.Cleanup(work.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	work.Go(func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := new(net.Dialer).DialContext(context.WithoutCancel(t.Context()), "tcp", address)
			if err != nil {
				_ = here.Close()
				continue
			}
			work.Go(func() { _, _ = io.Copy(there, here); _ = there.Close() })
			work.Go(func() { passLater(here, there, by); _ = here.Close() })
		}
	})
	u.Host = listener.Addr().String()
	return u.String()
}

func passLater(to io.Writer, from io.Reader, by time.Duration) {
	type part struct {
		bytes []byte
		due   time.Time
	}
	parts := make(chan part, 1<<16)
	go func() {
		defer close(parts)
		for {
			buf := make([]byte, 4<<10)
			n, err := from.Read(buf)
			if err != nil {
				return
			}
			parts <- part{buf[:n], time.Now().Add(by)}
		}
	}()
	for p := range parts {
		<-time.After(time.Until(p.due))
		if _, err := to.Write(p.bytes); err != nil {
			return
		}
	}
}
