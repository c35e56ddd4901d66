package delivery

import (
	"bytes"

	"lanekeeper/domain"
)

// A page of messages is one piece of memory, which stays as long as one of them is
// held; and payloads that the tail has in memory share pieces with others. A window
// counts the messages that it holds, so it must hold no more than them.

// fewWanted reports whether less than half of a page's payloads, in bytes, are for
// the endpoint: then they are worth a copy.
func fewWanted(target *domain.DeliveryTarget, messages []domain.Message) bool {
	if len(target.Types) == 0 {
		return false
	}
	wanted, all := 0, 0
	for i := range messages {
		m := &messages[i]
		all += len(m.Payload)
		if target.Wants(m.Type) {
			wanted += len(m.Payload)
		}
	}
	return wanted < all/2
}

// owned returns a message that keeps no others of its page in memory, nor with
// payload set those that its payload shares memory with.
func owned(m *domain.Message, payload bool) *domain.Message {
	own := *m
	if payload {
		own.Payload = bytes.Clone(m.Payload)
	}
	return &own
}
