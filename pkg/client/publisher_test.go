package client_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/client"
)

// sent is a line of a batch.
type sent struct {
	Payload json.RawMessage `json:"payload"`
	Key     string          `json:"idempotency_key"`
	Type    string          `json:"type"`
}

// taker takes batches as the service does, as far as a client can see.
type taker struct {
	mu      sync.Mutex
	batches [][]sent
	under   atomic.Int64
	most    atomic.Int64
	// before is called before the nth batch is taken; where it returns false it has
	// answered.
	before func(n int, w http.ResponseWriter, r *http.Request) bool
	// refuse says what is wrong with a message of the nth batch; "" for nothing.
	refuse func(n int, m *sent) (status int, code string)
}

func (k *taker) serve(w http.ResponseWriter, r *http.Request) {
	k.most.Store(max(k.most.Load(), k.under.Add(1)))
	defer k.under.Add(-1)
	lines := bufio.NewScanner(r.Body)
	lines.Buffer(nil, 16<<20)
	var batch []sent
	for lines.Scan() {
		var m sent
		if r.URL.Query().Get("envelope") != "true" {
			m.Payload = append(m.Payload, lines.Bytes()...)
		} else if json.Unmarshal(lines.Bytes(), &m) != nil {
			refuse(w, http.StatusBadRequest, "not_json", "")
			return
		}
		batch = append(batch, m)
	}
	k.mu.Lock()
	n := len(k.batches)
	k.batches = append(k.batches, batch)
	k.mu.Unlock()
	if k.before != nil && !k.before(n, w, r) {
		return
	}
	var results []string
	for i := range batch {
		result := fmt.Sprintf(`{"index":%d,"id":%q,"status":"accepted"}`, i, "id-"+string(batch[i].Payload))
		if k.refuse != nil {
			if status, code := k.refuse(n, &batch[i]); code != "" {
				result = fmt.Sprintf(`{"index":%d,"status":"rejected","error":{"status":%d,"code":%q,"detail":"No."}}`, i, status, code)
			}
		}
		results = append(results, result)
	}
	say(w, http.StatusMultiStatus, `{"results":[`+strings.Join(results, ",")+`]}`)
}

func (k *taker) sizes() (sizes []int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, b := range k.batches {
		sizes = append(sizes, len(b))
	}
	return sizes
}

// number is message n.
func number(n int) client.NewMessage {
	return client.NewMessage{Payload: json.RawMessage(strconv.Itoa(n)), Type: "t"}
}

// gather keeps results.
type gather struct{ all []client.Published }

func (g *gather) add(p client.Published) { g.all = append(g.all, p) }

func TestPublisherFillsBatches(t *testing.T) {
	t.Parallel()
	var k taker
	inTime(t, k.serve, func(t *testing.T, w *world) {
		var g gather
		p := w.client.NewPublisher(t.Context(), client.PublisherOptions{MaxMessages: 10, InFlight: 1, Linger: time.Second, KeyPrefix: "run", OnResult: g.add})
		for i := range 25 {
			require.NoError(t, p.Publish(t.Context(), number(i)))
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, []int{10, 10, 5}, k.sizes())
		require.Zero(t, w.since(), "a flush does not wait for more")
		require.Equal(t, client.PublisherStats{Taken: 25, Accepted: 25}, p.Stats())
		for i, r := range g.all {
			require.Equal(t, client.Published{Index: int64(i), ID: fmt.Sprintf("id-%d", i), IdempotencyKey: fmt.Sprintf("run-%d", i)}, r)
		}
		require.Equal(t, "run-7", k.batches[0][7].Key)
		require.Equal(t, "t", k.batches[0][7].Type)

		// One alone waits for others as long as it may.
		require.NoError(t, p.Publish(t.Context(), number(25)))
		for p.Stats().Accepted < 26 {
			time.Sleep(10 * time.Millisecond) //nolint:forbidigo // it passes at once
		}
		require.GreaterOrEqual(t, w.since(), time.Second)
		require.NoError(t, p.Close(t.Context()))
		require.NoError(t, p.Close(t.Context()))
		require.ErrorIs(t, p.Publish(t.Context(), number(1)), client.ErrClosed)
		require.ErrorIs(t, p.Flush(t.Context()), client.ErrClosed)
	})
}

func TestPublisherBounds(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	k := taker{before: func(int, http.ResponseWriter, *http.Request) bool {
		<-release
		return true
	}}
	server := func(w http.ResponseWriter, r *http.Request) { k.serve(w, r) }
	inTime(t, server, func(t *testing.T, w *world) {
		release = make(chan struct{}) // of this bubble
		p := w.client.NewPublisher(t.Context(), client.PublisherOptions{MaxBytes: 1000, InFlight: 3})
		large := client.NewMessage{Payload: json.RawMessage(`"` + strings.Repeat("x", 400) + `"`)}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		n := 0
		for p.Publish(ctx, large) == nil {
			n++
		}
		require.Equal(t, 10*time.Second, w.since(), "the last one waited")
		// Three under way, one that is ready, one that is being filled.
		require.LessOrEqual(t, n, 2*(3+2))
		require.Equal(t, int64(3), k.most.Load())
		close(release)
		require.NoError(t, p.Close(t.Context()))
		for _, size := range k.sizes() {
			require.LessOrEqual(t, size, 2)
		}
		require.EqualValues(t, n, p.Stats().Accepted)

		// One that is too large for a batch is one alone, and not the client's affair.
		p = w.client.NewPublisher(t.Context(), client.PublisherOptions{MaxBytes: 10})
		require.NoError(t, p.Publish(t.Context(), large))
		require.NoError(t, p.Close(t.Context()))
	})
}

// Messages that could not be taken are tried again with their keys, those that are
// wrong are not, and an error of the whole batch is that of each message.
func TestPublisherTriesAgain(t *testing.T) {
	t.Parallel()
	k := taker{
		refuse: func(n int, m *sent) (int, string) {
			switch {
			case string(m.Payload) == "3":
				return http.StatusUnprocessableEntity, "invalid_fields"
			case string(m.Payload) == "5" && n < 3:
				return http.StatusServiceUnavailable, "publish_unknown"
			}
			return 0, ""
		},
		before: func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n == 0 {
				refuse(w, http.StatusTooManyRequests, "rate_exceeded", "2")
			}
			return n > 0
		},
	}
	inTime(t, k.serve, func(t *testing.T, w *world) {
		var g gather
		p := w.client.NewPublisher(t.Context(), client.PublisherOptions{OnResult: g.add})
		for i := range 10 {
			require.NoError(t, p.Publish(t.Context(), number(i)))
		}
		err := p.Close(t.Context())
		var failed *client.PublishError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, int64(1), failed.Failed)
		require.Equal(t, int64(10), failed.Total)
		require.ErrorIs(t, err, client.CodeInvalidFields)
		require.Equal(t, []int{10, 10, 1, 1}, k.sizes())
		require.Equal(t, k.batches[0][5], k.batches[3][0])
		require.GreaterOrEqual(t, w.since(), 2*time.Second)
		require.Len(t, g.all, 10)
		require.ErrorIs(t, g.all[3].Err, client.CodeInvalidFields)
		require.Equal(t, "id-5", g.all[5].ID)
		require.NoError(t, g.all[5].Err)
	})

	gone := taker{before: func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		refuse(w, http.StatusNotFound, "tenant_not_found", "")
		return false
	}}
	inTime(t, gone.serve, func(t *testing.T, w *world) {
		results, err := w.client.PublishBatch(t.Context(), []client.NewMessage{number(0), {Payload: json.RawMessage(`{`)}, number(2)})
		require.ErrorIs(t, err, client.CodeTenantNotFound)
		require.ErrorIs(t, results[0].Err, client.CodeTenantNotFound)
		require.ErrorIs(t, results[1].Err, client.ErrNotJSON)
		require.ErrorIs(t, results[2].Err, client.CodeTenantNotFound)
	})
}

// Cut off in the middle, it knows what was accepted, and nothing is left behind.
func TestPublisherIsCutOff(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(p *client.Publisher, cancel func()) error{
		"by its context": func(p *client.Publisher, cancel func()) error {
			cancel()
			return p.Close(context.Background())
		},
		"by that of Close": func(p *client.Publisher, _ func()) error {
			ctx, end := context.WithTimeout(context.Background(), time.Second)
			defer end()
			return p.Close(ctx)
		},
	} {
		k := taker{before: func(n int, _ http.ResponseWriter, r *http.Request) bool {
			if n > 0 {
				<-r.Context().Done()
			}
			return n == 0
		}}
		inTime(t, k.serve, func(t *testing.T, w *world) {
			var g gather
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			p := w.client.NewPublisher(ctx, client.PublisherOptions{MaxMessages: 4, InFlight: 1, OnResult: g.add})
			for i := range 10 {
				require.NoError(t, p.Publish(t.Context(), number(i)), name)
			}
			for p.Stats().Accepted < 4 {
				time.Sleep(time.Millisecond) //nolint:forbidigo // it passes at once
			}
			err := cut(p, cancel)
			require.ErrorIs(t, err, context.Canceled, name)
			require.Equal(t, client.PublisherStats{Taken: 10, Accepted: 4, Failed: 6}, p.Stats(), name)
			require.Len(t, g.all, 10, name)
			for i, r := range g.all {
				require.Equal(t, i >= 4, r.Err != nil, "%s: %d", name, i)
			}
		})
	}
}

// Without keys nothing is repeated that may have happened, and payloads alone are
// lines of their own.
func TestPublisherWithoutKeys(t *testing.T) {
	t.Parallel()
	k := taker{refuse: func(n int, m *sent) (int, string) {
		switch {
		case n == 0 && string(m.Payload) == "1":
			return http.StatusServiceUnavailable, "publish_unknown"
		case n == 0 && string(m.Payload) == "2":
			return http.StatusTooManyRequests, "rate_exceeded"
		}
		return 0, ""
	}}
	inTime(t, k.serve, func(t *testing.T, w *world) {
		messages := []client.NewMessage{{Payload: json.RawMessage("0")}, {Payload: json.RawMessage("1")}, {Payload: json.RawMessage("2")}, number(3)}
		results, err := w.client.PublishBatch(t.Context(), messages)
		require.ErrorIs(t, err, client.CodePublishUnknown)
		require.Equal(t, []int{3, 1, 1}, k.sizes())
		require.Empty(t, k.batches[0][0].Key)
		require.Empty(t, k.batches[2][0].Key)
		require.Equal(t, "t", k.batches[2][0].Type)
		for i, r := range results {
			require.Equal(t, i == 1, r.Err != nil, "%d", i)
		}
	}, client.WithoutGeneratedKeys())
}

// A list of any length is published in as few calls as the service takes, whatever
// white space its payloads have.
func TestPublishBatchOfAnyLength(t *testing.T) {
	t.Parallel()
	for _, options := range [][]client.Option{nil, {client.WithoutGeneratedKeys()}} {
		var k taker
		inTime(t, k.serve, func(t *testing.T, w *world) {
			messages := make([]client.NewMessage, 2500)
			for i := range messages {
				messages[i].Payload = json.RawMessage(fmt.Sprintf("[\n\r\n\t%d ]", i))
			}
			results, err := w.client.PublishBatch(t.Context(), messages)
			require.NoError(t, err)
			require.Equal(t, []int{1000, 1000, 500}, k.sizes())
			for i, r := range results {
				require.Equal(t, fmt.Sprintf("id-[%d]", i), r.ID)
			}
		}, options...)
	}
}

// One that nobody closes ends with its context.
func TestPublisherEndsWithItsContext(t *testing.T) {
	t.Parallel()
	var k taker
	inTime(t, k.serve, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		p := w.client.NewPublisher(ctx, client.PublisherOptions{})
		require.NoError(t, p.Publish(t.Context(), number(0)))
		cancel()
		synctest.Wait()
		require.ErrorIs(t, p.Publish(t.Context(), number(1)), client.ErrClosed)
		require.ErrorIs(t, p.Close(t.Context()), context.Canceled)
	})
}

// Many goroutines share one, and every message comes through once.
func TestPublisherIsShared(t *testing.T) {
	t.Parallel()
	var k taker
	inTime(t, k.serve, func(t *testing.T, w *world) {
		const goroutines, each = 20, 100
		seen := make(map[int64]bool)
		p := w.client.NewPublisher(t.Context(), client.PublisherOptions{MaxMessages: 7, OnResult: func(r client.Published) { seen[r.Index] = r.Err == nil }})
		var group sync.WaitGroup
		for g := range goroutines {
			group.Go(func() {
				for i := range each {
					if err := p.Publish(t.Context(), number(g*each+i)); err != nil {
						t.Error(err)
					}
					if i%10 == 0 {
						if err := p.Flush(t.Context()); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		group.Wait()
		require.NoError(t, p.Close(t.Context()))
		require.Len(t, seen, goroutines*each)
		payloads := make(map[string]int)
		for _, b := range k.batches {
			for _, m := range b {
				payloads[string(m.Payload)]++
			}
		}
		require.Len(t, payloads, goroutines*each)
	})
}
