package fault

import (
	"bytes"
	"sync/atomic"

	"lanekeeper/tests/proxy"
)

// Cutter cuts connections exactly before messages that matter, once for each
// time that it is armed. Safe for concurrent use.
type Cutter struct {
	Matters func(message []byte, to proxy.Side) bool
	Armed   atomic.Int64 // how many more are to be cut
	Cuts    atomic.Int64 // how many were
}

// Arm asks for one more cut.
func (c *Cutter) Arm() { c.Armed.Add(1) }

// Judge implements proxy.Judge.
func (c *Cutter) Judge(message []byte, to proxy.Side) proxy.Verdict {
	if !c.Matters(message, to) || !c.take() {
		return proxy.Pass
	}
	c.Cuts.Add(1)
	return proxy.Cut
}

// take uses up one of the cuts that were asked for.
func (c *Cutter) take() bool {
	for {
		n := c.Armed.Load()
		if n == 0 {
			return false
		}
		if c.Armed.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// IsCommitted finds the CommandComplete message of a COMMIT: the server has
// committed, and the service is about to learn it.
func IsCommitted(message []byte, to proxy.Side) bool {
	return to == proxy.ToClient && message[0] == 'C' && bytes.Equal(message[5:], []byte("COMMIT\x00"))
}

// IsConfirm finds a basic.ack from the broker: it has the message, and the
// service is about to be told.
func IsConfirm(frame []byte, to proxy.Side) bool {
	method, _ := proxy.Method(frame)
	return to == proxy.ToClient && method == proxy.BasicAck
}
