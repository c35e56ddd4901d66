package apptest

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/tests/proxy"
)

// Tap sits between the service and the broker: it counts what passes, and
// breaks the connections when it is told to.
type Tap struct {
	proxy *proxy.Proxy

	mu          sync.Mutex
	deaf        bool
	tags        []string
	deleted     map[string]bool
	deliveries  int
	redelivered int
}

// NewTap returns a Tap in front of the broker at this URL. It ends with the
// test.
func NewTap(t testing.TB, brokerURL string) *Tap {
	t.Helper()
	p := &Tap{deleted: make(map[string]bool)}
	var err error
	p.proxy, err = proxy.New(t.Context(), brokerURL, proxy.AMQP{}, p.note)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.proxy.Close()) })
	return p
}

// URL is what the service is to take for the broker's.
func (p *Tap) URL() string { return p.proxy.URL() }

// Cut breaks all connections at once, without a word to either side.
func (p *Tap) Cut() { p.proxy.CutAll() }

// Deafen keeps everything but heartbeats from the broker: it seems to be alive
// and answers nothing. Connections cannot be made meanwhile.
func (p *Tap) Deafen(deaf bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deaf = deaf
}

// Tags returns the consumer tags that the service asked for, in order.
func (p *Tap) Tags() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.tags...)
}

// Deleted tells whether the service asked for the deletion of a queue.
func (p *Tap) Deleted(queue string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deleted[queue]
}

// Deliveries returns how many messages were delivered to the service, and how
// many of these were marked as delivered before.
func (p *Tap) Deliveries() (all, again int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.deliveries, p.redelivered
}

// note counts a frame, and drops it while the broker is deaf.
func (p *Tap) note(frame []byte, to proxy.Side) proxy.Verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deaf && to == proxy.ToServer && !proxy.Heartbeat(frame) {
		return proxy.Drop
	}
	p.count(frame, to)
	return proxy.Pass
}

// count needs mu.
func (p *Tap) count(frame []byte, to proxy.Side) {
	const reserved = 2
	method, arguments := proxy.Method(frame)
	switch {
	case to == proxy.ToClient && method == proxy.BasicDeliver:
		_, rest := proxy.ShortString(arguments)
		const tag = 8 // the delivery tag is before the flag
		p.deliveries++
		if rest[tag] != 0 {
			p.redelivered++
		}
	case to == proxy.ToClient:
	case method == proxy.BasicConsume:
		_, rest := proxy.ShortString(arguments[reserved:])
		tag, _ := proxy.ShortString(rest)
		if !strings.HasPrefix(tag, "probe_") { // these try out whether a queue works
			p.tags = append(p.tags, tag)
		}
	case method == proxy.QueueDelete:
		name, _ := proxy.ShortString(arguments[reserved:])
		p.deleted[name] = true
	}
}
