package main

import (
	"bytes"
	"context"
	"sync/atomic"

	"lanekeeper/tests/proxy"
)

// newProxy returns a proxy in front of the server at address, which ends with
// the stage.
func (st *stage) newProxy(ctx context.Context, address string, p proxy.Protocol, judge proxy.Judge) (*proxy.Proxy, error) {
	x, err := proxy.New(ctx, address, p, judge)
	if err == nil {
		st.proxies = append(st.proxies, x)
	}
	return x, err //nolint:wrapcheck // says what is wrong
}

// cutter cuts connections exactly before messages that matter, once for each
// time that it is armed.
type cutter struct {
	matters func(message []byte, to proxy.Side) bool
	armed   atomic.Int64 // how many more are to be cut
	cuts    atomic.Int64
}

func (c *cutter) arm() { c.armed.Add(1) }

func (c *cutter) judge(message []byte, to proxy.Side) proxy.Verdict {
	if !c.matters(message, to) || !c.take() {
		return proxy.Pass
	}
	c.cuts.Add(1)
	return proxy.Cut
}

// take uses up one of the cuts that were asked for.
func (c *cutter) take() bool {
	for {
		n := c.armed.Load()
		if n == 0 {
			return false
		}
		if c.armed.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// isCommitted tells the CommandComplete message of a COMMIT: the server has
// committed, and the service is about to be told.
func isCommitted(message []byte, to proxy.Side) bool {
	return to == proxy.ToClient && message[0] == 'C' && bytes.Equal(message[5:], []byte("COMMIT\x00"))
}

// isConfirm tells a basic.ack from the broker: it has the message, and the
// service is about to be told.
func isConfirm(frame []byte, to proxy.Side) bool {
	method, _ := proxy.Method(frame)
	return to == proxy.ToClient && method == proxy.BasicAck
}
