package consumer

import (
	"errors"

	"lanekeeper/domain"
)

// errForgotten: the queue was deleted and made again, or the broker lost its
// state, without a word to this consumer. RabbitMQ 3.10.8 does so when a quorum
// queue of the same name is declared within some 30 ms, before it has cancelled
// the consumers of the old one: the new queue says it has a consumer and hands
// it messages, but the channel knows of neither and passes none of them on.
var errForgotten = errors.New("the broker has forgotten the consumer")

// counters count what came of a queue, and what should have.
type counters struct{ taken, expected int64 }

// observation is a consumer as the watchdog sees it. The zero value is one that
// does not consume.
type observation struct {
	tag        string
	begun, now counters
	idle       bool // it holds nothing
}

// watchdog notices that the broker has forgotten a subscription. It is not safe
// for concurrent use.
type watchdog struct {
	tag   string
	taken int64
	// met is how many messages are known to have arrived, of those that were
	// expected; unknown until the check after a delivery: one that is taken before
	// it is confirmed is expected only then.
	met   int64
	known bool
	// missed and deserted are what the last check has found: messages were
	// expected that are neither here nor in the queue, or it had no consumer.
	missed, deserted bool
}

// settled reports whether the next check would find nothing but what happens after
// this one.
func (w *watchdog) settled() bool { return w.known && !w.missed && !w.deserted }

// check adds what the broker said right after an observation, and reports
// whether the subscription is gone. Every finding has to be made twice, without a
// delivery in between: a message may be on its way, and a broker that cannot
// reach the queue's leader may say that there is no consumer.
func (w *watchdog) check(o observation, counts domain.QueueCounts) bool {
	if w.tag != o.tag {
		*w = watchdog{tag: o.tag, taken: o.begun.taken, met: o.begun.expected, known: true}
	}
	switch {
	case o.tag == "":
		return false
	case w.taken != o.now.taken:
		*w = watchdog{tag: o.tag, taken: o.now.taken}
		return false
	case !w.known:
		w.met, w.known = o.now.expected, true
	}
	missed := o.idle && counts.Ready == 0 && o.now.expected > w.met
	deserted := counts.Consumers == 0
	gone := missed && w.missed || deserted && w.deserted
	w.missed, w.deserted = missed, deserted
	return gone
}
