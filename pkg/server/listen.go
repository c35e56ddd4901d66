package server

import (
	"net"
	"time"
)

const (
	// silenceLimit is how long a client may acknowledge nothing of what it is
	// sent before its connection is given up. Until then what was sent stays
	// with the system, which takes so many heartbeats that a stream whose
	// client's network fell silent would never notice; by itself the system
	// tries for a quarter of an hour.
	silenceLimit = 20 * time.Second
	// A connection on which nothing is sent is tried after quietLimit, and
	// every probePause, and given up after silenceLimit or, where that cannot
	// be set, after probes without an answer.
	quietLimit = 15 * time.Second
	probePause = 5 * time.Second
	probes     = 4
)

// listenConfig returns how to listen, so that connections of clients that have
// gone without a word end.
func listenConfig() net.ListenConfig {
	return net.ListenConfig{
		Control:         limitSilence,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: quietLimit, Interval: probePause, Count: probes},
	}
}
