package consumer

import (
	"errors"

	"lanekeeper/domain"
)

// errForgotten: the queue was deleted and made again, or the broker lost its
// state, and nobody has told this consumer. RabbitMQ 3.10.8 does so when a quorum
// queue of the same name is declared within some 30 ms, before it has cancelled
// the consumers of the old one: the new queue says it has a consumer and hands
// it messages, but the channel knows of neither and passes none of them on.
var errForgotten = errors.New("the broker has forgotten the consumer")

// tally counts what came of a queue, and what should have.
type tally struct{ taken, expected int64 }

func (c *consumer) tally() tally { return tally{c.taken.Load(), c.expected.Load()} }

// sight is a look at a consumer. The zero value is that it does not consume.
type sight struct {
	tag        string
	begun, now tally
	idle       bool // it holds nothing
}

func (c *consumer) sight() sight {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != domain.ConsumerRunning {
		return sight{}
	}
	return sight{tag: c.tag, begun: c.begun, now: c.tally(), idle: c.held.Load() == 0}
}

// vigil is what the last looks at a subscription have found.
type vigil struct {
	tag   string
	taken int64
	// met is how many messages are known to have arrived, of those that were
	// expected; unknown until the look after a delivery: one that is taken before
	// it is confirmed is expected only then.
	met   int64
	known bool
	// missed and deserted are what the last look has found: messages were
	// expected that are neither here nor in the queue, or it had no consumer.
	missed, deserted bool
}

// look adds what the broker said right after a sight of the consumer, and reports
// whether the subscription is none any more. Every finding has to be made twice,
// without a delivery in between: a message may be on its way, and a broker that
// cannot reach the queue's leader may say that there is nobody.
func (v *vigil) look(s sight, counts domain.QueueCounts) bool {
	if v.tag != s.tag {
		*v = vigil{tag: s.tag, taken: s.begun.taken, met: s.begun.expected, known: true}
	}
	switch {
	case s.tag == "":
		return false
	case v.taken != s.now.taken:
		*v = vigil{tag: s.tag, taken: s.now.taken}
		return false
	case !v.known:
		v.met, v.known = s.now.expected, true
	}
	missed := s.idle && counts.Ready == 0 && s.now.expected > v.met
	deserted := counts.Consumers == 0
	gone := missed && v.missed || deserted && v.deserted
	v.missed, v.deserted = missed, deserted
	return gone
}

// saw has the consumer subscribe again when what was seen of it, and what the
// broker said then, means that it is forgotten. Calls must not overlap.
func (c *consumer) saw(s sight, counts domain.QueueCounts, err error) {
	if err != nil || !c.vigil.look(s, counts) {
		return
	}
	select {
	case c.forgotten <- s.tag:
	default:
	}
}
