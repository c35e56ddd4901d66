package broker_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/pkg/devstack/devtest"
	"lanekeeper/service/broker"
)

// smallFrames returns the URL of the broker behind one that allows smaller
// frames.
func smallFrames(t *testing.T, rawURL string, frameMax uint32) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	broker := u.Host
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go between(client, broker, frameMax)
		}
	}()
	u.Host = listener.Addr().String()
	return u.String()
}

func between(client net.Conn, broker string, frameMax uint32) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", broker)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	go func() { _, _ = io.Copy(server, client); _ = server.Close() }()
	for tuned := false; !tuned; {
		head := make([]byte, 7)
		if _, err := io.ReadFull(server, head); err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint32(head[3:])+1)
		if _, err := io.ReadFull(server, rest); err != nil {
			return
		}
		if tuned = binary.BigEndian.Uint32(rest) == 10<<16|30; tuned { // connection.tune
			binary.BigEndian.PutUint32(rest[6:], frameMax)
		}
		if _, err := client.Write(append(head, rest...)); err != nil {
			return
		}
	}
	_, _ = io.Copy(client, server)
}

// Where the broker allows small frames only, a dead letter leaves headers out
// that do not fit, and nobody's connection ends.
func TestDeadLettersFitIntoSmallFrames(t *testing.T) {
	t.Parallel()
	const frameMax = 8192
	b := start(t, smallFrames(t, devtest.RabbitMQ(t), frameMax))
	ctx, tenant := t.Context(), uuid.New()
	require.NoError(t, b.DeclareQueues(ctx, tenant))
	require.NoError(t, b.DeadLetter(ctx, domain.DeadLetter{
		ID: uuid.New(), TenantID: tenant, MessageID: "one", Body: make([]byte, 3*frameMax), Reason: domain.ReasonInvalidPayload, Error: "why",
		Headers: map[string]any{"large": strings.Repeat("l", frameMax-100), "small": "kept"},
	}))
	sub, err := broker.Reading(b.SubscribeDeadLetters(ctx, tenant, "tag", 1))
	require.NoError(t, err)
	select {
	case d := <-sub.Deliveries():
		letter, _ := b.ReadDeadLetter(tenant, d)
		require.Equal(t, map[string]any{"small": "kept"}, letter.Headers)
		require.Equal(t, "why", letter.Error)
		require.Len(t, letter.Body, 3*frameMax)
	case <-time.After(30 * time.Second):
		require.Fail(t, "no letter")
	}
	require.NoError(t, sub.Close())
}
