package delivery

import (
	"bytes"
	"log/slog"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
)

// aPage returns messages whose payloads share memory, one in so many of which is an
// order.
func aPage(n, oneIn int) []domain.Message {
	shared := bytes.Repeat([]byte("1234567890"), 10*n)
	page := make([]domain.Message, n)
	for i := range page {
		page[i] = domain.Message{Seq: int64(i + 1), Type: "invoice.paid", Payload: shared[100*i : 100*i+100 : 100*i+100], Bytes: 100}
		if i%oneIn == oneIn/2 {
			page[i].Type = "order.created"
		}
	}
	return page
}

// A window that takes few messages of a page keeps nothing else of it in memory.
func TestWindowKeepsWhatItCounts(t *testing.T) {
	t.Parallel()
	orders := &domain.DeliveryTarget{Endpoint: domain.Endpoint{Types: []domain.TypePattern{"order.*"}}}
	for name, tt := range map[string]struct {
		take   func(page []domain.Message) *window
		shared bool // payloads are not copied: those that were read from the database share nothing
	}{
		"history": {take: func(page []domain.Message) *window {
			l := newLedger()
			l.take(orders, page, 512)
			return &l.window
		}},
		"answered before": {take: func(page []domain.Message) *window {
			l := newLedger()
			e := anEntry(0)
			e.in = &l.window
			l.window.add(e) // so that what is done stays
			for i := range page {
				if orders.Wants(page[i].Type) {
					l.answered[page[i].Seq] = disposition{}
				}
			}
			l.take(orders, page, 512)
			return &l.window
		}},
		"replay": {shared: true, take: func(page []domain.Message) *window {
			r := newReplayer(&domain.Replay{To: 512, Rate: 1})
			r.take(orders, members{messages: page, next: 512}, time.Now())
			return &r.window
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			page := aPage(512, 512)
			messages, payloads, want := weak.Make(&page[0]), weak.Make(&page[0].Payload[0]), page[256]
			want.Payload = bytes.Clone(want.Payload)
			w := tt.take(page)
			runtime.GC()
			require.Nil(t, messages.Value(), "the page")
			require.Equal(t, tt.shared, payloads.Value() != nil, "the other payloads")
			require.Equal(t, want, *w.entries[len(w.entries)-1].message)
		})
	}
}

// Where most of a page is wanted, payloads are not copied.
func TestWindowSharesPayloads(t *testing.T) {
	t.Parallel()
	for name, target := range map[string]*domain.DeliveryTarget{
		"all types": {}, "half of it": {Endpoint: domain.Endpoint{Types: []domain.TypePattern{"order.*"}}},
	} {
		page, l := aPage(512, 2), newLedger()
		l.take(target, page, 512)
		require.NotEmpty(t, l.window.entries, name)
		for _, e := range l.window.entries {
			require.Same(t, &page[e.seq-1].Payload[0], &e.message.Payload[0], name)
		}
	}
}

// Rows that wait for a slot count as memory like everything else that is held.
func TestRowsCountAsMemory(t *testing.T) {
	t.Parallel()
	s := New(Options{Log: slog.New(slog.DiscardHandler)})
	d := newDispatcher(s, &lane{}, &domain.DeliveryTarget{})
	d.breaker = newBreaker(domain.EndpointHealth{}, time.Second, time.Now())
	page := aPage(3, 3)
	size := int64(0)
	for i := range page {
		d.takeRow(&domain.OpenDelivery{Seq: page[i].Seq, Message: &page[i]}, time.Now())
		size += int64(page[i].Size())
	}
	d.put(t.Context())
	require.Equal(t, size, s.memory.held.Load())
	d.due.remove(d.due.list[0])
	d.put(t.Context())
	require.Equal(t, size-int64(page[0].Size()), s.memory.held.Load())
	d.giveUp()
	require.Zero(t, s.memory.held.Load())
}
