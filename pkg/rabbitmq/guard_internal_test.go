package rabbitmq

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Nothing is sent on a channel that is closed, however it was closed and
// however the frames are cut into pieces.
func TestNothingIsSentOnAClosedChannel(t *testing.T) {
	t.Parallel()
	qos := func(channel uint16) []byte { return frame(1, channel, method(60, 10, 0, 0, 0, 0, 0, 1, 0)) }
	on := func(id uint16) []byte { return frame(1, 7, method(20, id, 0)) }
	const open, closing, answer = 10, 40, 41
	header, body := frame(2, 7, content(0)), frame(3, 7, bytes.Repeat([]byte("b"), 300))
	greet := []byte("AMQP\x00\x00\x09\x01")
	type sent struct {
		frame   []byte
		dropped bool
	}
	for name, stream := range map[string][]sent{
		"an open channel":           {{on(open), false}, {qos(7), false}, {header, false}, {body, false}},
		"closed by us":              {{on(open), false}, {on(closing), false}, {qos(7), true}, {header, true}, {body, true}, {on(closing), true}},
		"closed by the broker":      {{on(open), false}, {on(answer), false}, {qos(7), true}, {on(closing), true}, {on(answer), true}},
		"closed by both":            {{on(open), false}, {on(closing), false}, {qos(7), true}, {on(answer), false}, {qos(7), true}, {on(answer), true}},
		"opened again":              {{on(open), false}, {on(closing), false}, {qos(7), true}, {on(open), false}, {qos(7), false}, {body, false}},
		"opened after the broker's": {{on(open), false}, {on(answer), false}, {qos(7), true}, {on(open), false}, {on(closing), false}, {qos(7), true}},
		"others":                    {{on(open), false}, {on(closing), false}, {qos(8), false}, {qos(7), true}, {frame(8, 0, nil), false}, {qos(8), false}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole, want := slices.Clone(greet), slices.Clone(greet)
			for _, s := range stream {
				whole = append(whole, s.frame...)
				if !s.dropped {
					want = append(want, s.frame...)
				}
			}
			for piece := 1; piece <= len(whole); piece++ {
				g := guard{shut: make(map[uint16]bool)}
				var got []byte
				for part := range slices.Chunk(whole, piece) {
					got = append(got, g.filter(slices.Clone(part))...)
				}
				require.Equal(t, want, got, "in pieces of %d", piece)
			}
		})
	}
}
