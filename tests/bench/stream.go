package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/pprof"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"lanekeeper/pkg/sse"
)

// crowdRate is how many messages a second a crowd of clients follows.
const crowdRate = 100

// streamRound is what one round measured of realtime streams.
type streamRound struct {
	// chain is from the scheduled moment to the commit of a bare chain of
	// publisher, confirm, consumer and insert; event is to when a stream has
	// told of the message.
	chain, event latencies
	// alone and crowded are the 99th percentile from publication to commit
	// while no client streams, and while a crowd does.
	alone, crowded time.Duration
}

func (r streamRound) ratio() float64 { return float64(r.event.p50) / float64(r.chain.p50) }

func (r streamRound) crowdRatio() float64 { return float64(r.crowded) / float64(r.alone) }

// arrivals are when messages came to the end of their way, by number.
type arrivals struct {
	at   []time.Time
	seen []chan struct{} // closed when at is written
}

func newArrivals(total int) *arrivals {
	a := &arrivals{at: make([]time.Time, total), seen: make([]chan struct{}, total)}
	for i := range a.seen {
		a.seen[i] = make(chan struct{})
	}
	return a
}

// note notes that a message has arrived, once.
func (a *arrivals) note(number int) error {
	if number < 0 || number >= len(a.at) {
		return fmt.Errorf("%w: message %d", errWrong, number)
	}
	a.at[number] = time.Now()
	close(a.seen[number])
	return nil
}

// await waits for the job's message.
func (a *arrivals) await(ctx context.Context, j job) error {
	select {
	case <-a.seen[j.number]:
		*j.took = a.at[j.number].Sub(j.due)
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// measureStreams measures, in every round, a bare chain and the streams of the
// service, both at a fixed rate.
func measureStreams(ctx context.Context, b *bench) (rounds []streamRound, err error) {
	n := min(openTenants, max(len(b.tenants.ids), 1))
	b.say("streams: %d a second for %s each, %d clients in the crowd", b.options.streamRate, b.options.open, b.options.crowd)
	for i := range b.options.repeat {
		var r streamRound
		if r.chain, err = bareChain(ctx, b, n); err != nil {
			return nil, fmt.Errorf("measure the chain: %w", err)
		}
		err := profiled(b, fmt.Sprintf("stream-round-%d", i+1), func() (err error) {
			if r.event, err = measureEvents(ctx, b, n); err != nil {
				return fmt.Errorf("measure streams: %w", err)
			}
			if r.alone, err = measureCrowd(ctx, b, 0); err != nil {
				return fmt.Errorf("measure storing: %w", err)
			}
			if r.crowded, err = measureCrowd(ctx, b, b.options.crowd); err != nil {
				return fmt.Errorf("measure storing for a crowd: %w", err)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		rounds = append(rounds, r)
		b.say("round %d of %d: chain p50 %s, p99 %s; event p50 %s, p99 %s (%.2f); stored p99 %s alone, %s with the crowd (%.2f)", i+1, b.options.repeat,
			millis(float64(r.chain.p50)), millis(float64(r.chain.p99)), millis(float64(r.event.p50)), millis(float64(r.event.p99)), r.ratio(),
			millis(float64(r.alone)), millis(float64(r.crowded)), r.crowdRatio())
	}
	return rounds, nil
}

func streamTotal(b *bench) int {
	return max(1, int(b.options.open.Seconds()*float64(b.options.streamRate)))
}

// measureEvents publishes to the first n tenants, each of which has one stream.
func measureEvents(ctx context.Context, b *bench, n int) (l latencies, err error) {
	total := streamTotal(b)
	arrived := newArrivals(total)
	following, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var streams errgroup.Group
	for _, tenant := range b.tenants.ids[:n] {
		s, err := openStream(following, b, tenant)
		if err != nil {
			return l, errors.Join(err, streams.Wait())
		}
		streams.Go(func() error {
			defer s.Close()
			for {
				data, err := s.next()
				if err == nil {
					err = arrived.note(numberIn(data))
				}
				if err != nil {
					if following.Err() != nil {
						return nil
					}
					cancel(err)
					return err
				}
			}
		})
	}
	l, err = openLoop(following, b.options.streamRate, total, func(ctx context.Context, jobs <-chan job) error {
		c, err := dial(ctx, b.service.address())
		if err != nil {
			return err
		}
		defer c.close()
		for j := range jobs {
			at := j.number % n
			if err := c.post(newNumbered(b.service.address(), j.number), b.tenants.ids[at]); err != nil {
				return err
			}
			b.tenants.accepted[at].Add(1)
			if err := arrived.await(ctx, j); err != nil {
				return err
			}
		}
		return nil
	})
	cancel(nil)
	return l, errors.Join(err, streams.Wait())
}

// measureCrowd publishes to the first tenant, which so many clients follow, and
// returns the 99th percentile from publication to commit. Every client has to
// see every message.
func measureCrowd(ctx context.Context, b *bench, clients int) (time.Duration, error) {
	total := max(1, int(b.options.open.Seconds()*crowdRate))
	opening, openCtx := errgroup.WithContext(ctx)
	opening.SetLimit(openWorkers)
	streams := make([]*stream, clients)
	for i := range streams {
		opening.Go(func() (err error) {
			streams[i], err = openStream(ctx, b, b.tenants.ids[0])
			return errors.Join(err, openCtx.Err())
		})
	}
	err := opening.Wait()
	defer func() {
		for _, s := range streams {
			if s != nil {
				s.Close()
			}
		}
	}()
	if err != nil {
		return 0, err //nolint:wrapcheck // one of ours
	}
	before, err := b.tenants.readMetrics(ctx)
	if err != nil {
		return 0, err
	}
	group, groupCtx := errgroup.WithContext(ctx)
	for _, s := range streams {
		group.Go(func() (err error) {
			pprof.Do(groupCtx, generatorLabel(), func(context.Context) { err = s.take(total) })
			return err
		})
	}
	group.Go(func() error {
		_, err := openLoop(groupCtx, crowdRate, total, poster(b, 1))
		return err
	})
	if err := group.Wait(); err != nil {
		return 0, err //nolint:wrapcheck // one of ours
	}
	if err := b.tenants.awaitStored(ctx); err != nil {
		return 0, err
	}
	after, err := b.tenants.readMetrics(ctx)
	if err != nil {
		return 0, err
	}
	return after.endToEnd().since(before.endToEnd()).quantile(0.99), nil
}

// newNumbered returns a call that publishes one message that can be told from
// others.
func newNumbered(address string, number int) *call {
	const nobody = "00000000-0000-0000-0000-000000000000"
	body := `{"payload":` + numberedPayload(number) + `}`
	head := "POST /api/messages HTTP/1.1\r\nHost: " + address + "\r\nContent-Type: application/json\r\nContent-Length: " +
		strconv.Itoa(len(body)) + "\r\nX-Tenant-ID: "
	return &call{bytes: []byte(head + nobody + "\r\n\r\n" + body), at: len(head)}
}

// numberedPayload is as long as other payloads, or nearly so.
func numberedPayload(number int) string {
	mark := `{"number":` + strconv.Itoa(number) + `,`
	return mark + string(payload()[len(mark):][bytes.IndexByte(payload()[len(mark):], ',')+1:])
}

// numberIn returns the number in an event's data, or -1.
func numberIn(data []byte) int {
	// jsonb puts a space after the colon; the message's own JSON need not.
	_, after, _ := bytes.Cut(data, []byte(`"number":`))
	digits := bytes.TrimLeft(after, " ")
	end := bytes.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
	if end < 1 {
		return -1
	}
	number, err := strconv.Atoi(string(digits[:end]))
	if err != nil {
		return -1
	}
	return number
}

// stream is an open stream of a tenant's messages.
type stream struct{ *sse.Stream }

// openStream opens a stream of what is stored from now on.
func openStream(ctx context.Context, b *bench, tenant string) (*stream, error) {
	address := "http://" + b.service.address() + "/api/messages/stream"
	s, err := sse.Open(ctx, http.DefaultClient, address, http.Header{"X-Tenant-Id": {tenant}}, 16<<10)
	if err != nil {
		return nil, err //nolint:wrapcheck // says what is wrong
	}
	return &stream{s}, nil
}

// next returns the data of the next message. It is valid until the next call.
func (s *stream) next() ([]byte, error) {
	for {
		e, err := s.Next()
		if err != nil {
			return nil, fmt.Errorf("read stream: %w", err)
		}
		if e.Data != nil {
			return e.Data, nil
		}
	}
}

// take takes so many messages, which must follow each other, and the place
// where the stream began, without a hole.
func (s *stream) take(count int) error {
	last := 0
	for taken := 0; taken < count; {
		e, err := s.Next()
		if err != nil {
			return fmt.Errorf("read stream: %w", err)
		}
		if e.ID == nil && e.Data == nil {
			continue // a comment
		}
		seq, err := strconv.Atoi(string(e.ID))
		if err != nil || last != 0 && seq != last+1 {
			return fmt.Errorf("%w: event %d after %d: %w", errWrong, seq, last, err)
		}
		last = seq
		if e.Data != nil {
			taken++
		}
	}
	return nil
}
