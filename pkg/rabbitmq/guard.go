package rabbitmq

import "encoding/binary"

// Methods of the class channel, as they begin a method frame.
const (
	channelOpen    = 20<<16 | 10
	channelClose   = 20<<16 | 40
	channelCloseOk = 20<<16 | 41

	methodHead = frameHead + 4 // with class and method
)

// guard leaves out of what is sent whatever is on a channel that is closed
// already: RabbitMQ ends the whole connection for it (504). One step at a time
// is not enough for that. The broker may close a channel by itself, and the
// library may answer between looking whether the channel is closed and sending
// what it was about to send.
//
//	open --channel.close sent--> closing --channel.close-ok sent--> closed
//	open --channel.close-ok sent--> closed
//	closing, closed --channel.open sent--> open
//
// A caller that waits for the answer to what was left out learns of the channel's
// end instead. It is for one goroutine at a time, as the library writes.
type guard struct {
	shut map[uint16]bool // channels that are not open; true: answered, too
	// head is the beginning of a frame that is not known well enough yet.
	head []byte
	// left is how much of the present frame is to come, dropping that it is
	// left out.
	left     int64
	dropping bool
	greeted  bool // the header of the protocol is no frame
}

// greeting is the length of the header of the protocol.
const greeting = 8

// filter returns what of p is to be sent, after what was kept back before. The
// result may be p itself, and is valid until the next call.
func (g *guard) filter(p []byte) []byte {
	if !g.greeted {
		g.greeted, g.left = true, greeting
	}
	if len(g.head) > 0 {
		p = append(g.head, p...)
		g.head = nil
	}
	var out []byte // what was kept of p[:at]; unused while nothing is dropped
	changed := false
	for at := 0; at < len(p); {
		if g.left == 0 && !g.begin(p[at:]) {
			g.head = append([]byte(nil), p[at:]...)
			if !changed {
				return p[:at]
			}
			return out
		}
		n := int(min(g.left, int64(len(p)-at)))
		if g.dropping && !changed {
			out, changed = append(out, p[:at]...), true
		}
		if changed && !g.dropping {
			out = append(out, p[at:at+n]...)
		}
		at += n
		g.left -= int64(n)
	}
	if changed {
		return out
	}
	return p
}

// begin looks at the beginning of a frame, and reports false when that is not
// all there yet.
func (g *guard) begin(p []byte) bool {
	if len(p) < frameHead || p[0] == methodFrame && len(p) < methodHead {
		return false
	}
	channel := binary.BigEndian.Uint16(p[1:])
	var method uint32
	if p[0] == methodFrame {
		method = binary.BigEndian.Uint32(p[frameHead:])
	}
	g.left = frameHead + int64(binary.BigEndian.Uint32(p[3:])) + 1
	g.dropping = channel != 0 && !g.passes(channel, method)
	return true
}

// passes reports whether a frame is sent, and notes what it does to its
// channel. The method is 0 for what is none.
func (g *guard) passes(channel uint16, method uint32) bool {
	answered, shut := g.shut[channel]
	switch {
	case method == channelOpen:
		delete(g.shut, channel)
		return true
	case method == channelCloseOk && !answered:
		g.shut[channel] = true
		return true
	case shut:
		return false
	case method == channelClose:
		g.shut[channel] = false
	}
	return true
}

// Write implements net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	out := w.guard.filter(p)
	if len(out) == 0 {
		return len(p), nil
	}
	if n, err := w.Conn.Write(out); err != nil {
		return min(n, len(p)), err
	}
	return len(p), nil
}
