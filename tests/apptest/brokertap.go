package apptest

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/proxy"
)

// BrokerTap sits between the service and the broker: it counts what passes, and
// breaks the connections when it is told to.
type BrokerTap struct {
	proxy *proxy.Proxy

	mu          sync.Mutex
	deaf        bool
	tags        []string
	deleted     map[string]bool
	deliveries  int
	redelivered int
}

// NewBrokerTap returns a BrokerTap in front of the broker at this URL. It ends
// with the test.
func NewBrokerTap(t testing.TB, brokerURL string) *BrokerTap {
	t.Helper()
	b := &BrokerTap{deleted: make(map[string]bool)}
	var err error
	b.proxy, err = proxy.New(t.Context(), brokerURL, proxy.AMQP{}, b.note)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.proxy.Close()) })
	return b
}

// URL is what the service is to take for the broker's.
func (b *BrokerTap) URL() string { return b.proxy.URL() }

// Cut breaks all connections at once, without a word to either side.
func (b *BrokerTap) Cut() { b.proxy.CutAll() }

// Deafen keeps everything but heartbeats from the broker: it seems to be alive
// and answers nothing. Connections cannot be made meanwhile.
func (b *BrokerTap) Deafen(deaf bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deaf = deaf
}

// Tags returns the consumer tags that the service asked for, in order.
func (b *BrokerTap) Tags() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.tags...)
}

// Deleted reports whether the service asked for the deletion of a queue.
func (b *BrokerTap) Deleted(queue string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.deleted[queue]
}

// Deliveries returns how many messages were delivered to the service, and how
// many of these were marked as delivered before.
func (b *BrokerTap) Deliveries() (all, again int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.deliveries, b.redelivered
}

// note counts a frame, and drops it while the broker is deaf.
func (b *BrokerTap) note(frame []byte, to proxy.Side) proxy.Verdict {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.deaf && to == proxy.ToServer && !proxy.Heartbeat(frame) {
		return proxy.Drop
	}
	b.count(frame, to)
	return proxy.Pass
}

// count needs mu.
func (b *BrokerTap) count(frame []byte, to proxy.Side) {
	const reserved = 2
	method, arguments := proxy.Method(frame)
	switch {
	case to == proxy.ToClient && method == proxy.BasicDeliver:
		_, rest := proxy.ShortString(arguments)
		const tag = 8 // the delivery tag is before the flag
		b.deliveries++
		if rest[tag] != 0 {
			b.redelivered++
		}
	case to == proxy.ToClient:
	case method == proxy.BasicConsume:
		_, rest := proxy.ShortString(arguments[reserved:])
		tag, _ := proxy.ShortString(rest)
		if !strings.HasPrefix(tag, "probe_") { // these try out whether a queue works
			b.tags = append(b.tags, tag)
		}
	case method == proxy.QueueDelete:
		name, _ := proxy.ShortString(arguments[reserved:])
		b.deleted[name] = true
	}
}
