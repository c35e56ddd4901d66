package httpconn_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/httpconn"
	"lanekeeper/tests/certs"
)

// secured returns what makes a server speak TLS, and a client trust it.
func secured(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	pair := certs.New(t)
	certificate, err := tls.X509KeyPair(pair.Certificate, pair.Key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
		&tls.Config{RootCAs: pair.Pool(t), ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

// greet shakes hands on a connection of the test's.
func greet(t *testing.T, conn net.Conn, config *tls.Config) *tls.Conn {
	t.Helper()
	secure := tls.Client(conn, config)
	require.NoError(t, secure.HandshakeContext(t.Context()))
	return secure
}

// Over TLS, too, who does not read is cut, of every version of it.
func TestUnreadAnswerIsCutWithTLS(t *testing.T) {
	t.Parallel()
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan outcome, 1)
			server, client := secured(t)
			client.MaxVersion = version
			s := serve(t, httpconn.Options{TLS: server, Pace: httpconn.Pace{Floor: 300 * time.Millisecond, Rate: 1 << 20}}, pieces(4<<20, 64<<10, ended))
			conn := greet(t, s.dial("127.0.0.1"), client)
			_, err := conn.Write([]byte(get("/page")))
			require.NoError(t, err)
			select {
			case got := <-ended:
				require.Error(t, got.err)
				require.True(t, got.gone, "the request goes on")
			case <-time.After(patience):
				require.FailNow(t, "the handler waits for ever for who does not read")
			}
			require.Eventually(t, func() bool { return s.connections.Open() == 0 }, patience, time.Millisecond)
			require.Len(t, s.ended(), 1)
			require.Equal(t, httpconn.Unread, s.ended()[0].Reason)
			require.Equal(t, "/page", s.ended()[0].Request)
			require.Less(t, s.ended()[0].Written, int64(2<<20))
		})
	}
}

// Large bodies and answers pass, several on a connection, and a handler's own
// deadlines hold.
func TestLargeBodiesWithTLS(t *testing.T) {
	t.Parallel()
	server, client := secured(t)
	s := serve(t, httpconn.Options{TLS: server}, func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil { // it would not be seen on all servers of the service
			w.WriteHeader(http.StatusTeapot)
			return
		}
		control := http.NewResponseController(w)
		if control.SetReadDeadline(time.Now().Add(patience)) != nil || control.SetWriteDeadline(time.Now().Add(patience)) != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = io.Copy(w, r.Body)
	})
	transport := &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	body := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	for range 3 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.addr+"/echo", bytes.NewReader(body))
		require.NoError(t, err)
		answer, err := transport.RoundTrip(request)
		require.NoError(t, err)
		got, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.True(t, bytes.Equal(body, got))
		require.Equal(t, 1, answer.ProtoMajor, "HTTP/2 is not offered")
	}
	// The client leaves a connection and takes another one when it is slow to note that
	// a request was sent; the service ends none.
	require.Eventually(t, func() bool { return s.connections.Open() == 1 }, patience, time.Millisecond)
	require.Empty(t, s.ended())
}

// What is no request gets the service's own words inside of TLS, and HTTP in the
// place of TLS gets them without.
func TestRefusalsWithTLS(t *testing.T) {
	t.Parallel()
	server, client := secured(t)
	s := serve(t, httpconn.Options{
		TLS: server, Refusal: func(status int, _ net.Addr) (string, []byte) {
			return "text/x", []byte("status " + strconv.Itoa(status))
		},
	}, held(t))
	answered := func(conn net.Conn, text string) (int, string) {
		_, err := io.WriteString(conn, text)
		require.NoError(t, err)
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		return answer.StatusCode, string(body)
	}
	status, body := answered(greet(t, s.dial("127.0.0.1"), client), "NO REQUEST\r\n\r\n")
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "status 400", body)
	require.Empty(t, s.ended())
	status, body = answered(s.dial("127.0.0.1"), get("/"))
	require.Equal(t, http.StatusBadRequest, status)
	require.Equal(t, "status 497", body)
	require.Eventually(t, func() bool { return len(s.ended()) == 1 }, patience, time.Millisecond)
	require.Equal(t, httpconn.Handshake, s.ended()[0].Reason)
}

// Who does not shake hands, or not with what is asked for, is out, and takes no
// time of others.
func TestHandshakesThatFail(t *testing.T) {
	t.Parallel()
	server, client := secured(t)
	s := serve(t, httpconn.Options{TLS: server}, held(t))
	old := client.Clone()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	require.Error(t, tls.Client(s.dial("127.0.0.1"), old).HandshakeContext(t.Context()), "TLS 1.1")
	h2 := client.Clone()
	h2.NextProtos = []string{"h2"}
	require.Error(t, tls.Client(s.dial("127.0.0.1"), h2).HandshakeContext(t.Context()), "nothing but HTTP/2")
	conn := s.dial("127.0.0.1")
	_, err := conn.Write(bytes.Repeat([]byte{0xff}, 100))
	require.NoError(t, err)
	require.Eventually(t, func() bool { return len(s.ended()) == 3 && s.connections.Open() == 0 }, patience, time.Millisecond)
	for _, event := range s.ended() {
		require.Equal(t, httpconn.Handshake, event.Reason)
		require.Error(t, event.Err)
	}
	silent := s.dial("127.0.0.1") // shakes no hands, and holds up nobody
	greet(t, s.dial("127.0.0.1"), client)
	require.NoError(t, silent.Close())
}

// The longest idle connection has to go for a new one at once, whether or not its
// client takes the last word of TLS; one that is not let in costs no handshake.
func TestBoundsWithTLS(t *testing.T) {
	t.Parallel()
	server, client := secured(t)
	s := serve(t, httpconn.Options{TLS: server, PerAddress: 2}, held(t))
	for range 2 {
		greet(t, s.dial("127.0.0.1"), client)
	}
	begun := time.Now()
	third := greet(t, s.dial("127.0.0.1"), client)
	require.Less(t, time.Since(begun), 4*time.Second)
	_, err := third.Write([]byte(get("/")))
	require.NoError(t, err)
	s.answered(third, http.StatusOK)
	require.Equal(t, httpconn.IdleAddress, s.ended()[0].Reason)

	full := serve(t, httpconn.Options{TLS: server, PerAddress: 1}, held(t))
	holder := greet(t, full.dial("127.0.0.1"), client)
	_, err = holder.Write([]byte(get("/hold")))
	require.NoError(t, err)
	full.answered(holder, http.StatusOK)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.Error(t, tls.Client(full.dial("127.0.0.1"), client).HandshakeContext(ctx))
	require.Equal(t, httpconn.RefusedAddress, full.ended()[0].Reason)
}
