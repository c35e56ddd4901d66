package cli

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"lanekeeper/pkg/cli/terminal"
	"lanekeeper/pkg/client"
	"lanekeeper/pkg/digits"
)

const (
	// longestLine is more than the service takes as a message.
	longestLine = 4 << 20
	// closeLimit is how long an interrupted run waits for what is under way.
	closeLimit = 5 * time.Second
)

var errInterrupted = errors.New("interrupted")

// many publishes a message for each line.
func (p *publishing) many(ctx context.Context, a *app, cl *client.Client, source io.Reader) error {
	if p.keyPrefix == "" && !p.conn.keyless {
		p.keyPrefix = strings.ToLower(rand.Text()[:10])
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	t := newTally(terminal.NewProgress(a.Err, "messages"), p.skip+1, stop)
	p.tell = t.progress.Note
	if file, ok := source.(*os.File); ok {
		if p.file != "" {
			defer file.Close()
		}
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			t.size = info.Size()
		}
	}
	o := client.PublisherOptions{OnResult: t.result}
	if p.ordered {
		o.InFlight = 1
	}
	p.client = cl
	publisher := cl.NewPublisher(context.WithoutCancel(ctx), o)
	begun := time.Now()
	err := p.hand(ctx, publisher, t, source)
	limit, cancel := patience(ctx)
	defer cancel()
	_ = publisher.Close(limit) // the tally knows
	t.progress.End()
	return p.report(a, t, time.Since(begun), err)
}

// patience returns a context that ends a while after ctx.
func patience(ctx context.Context) (limit context.Context, cancel func()) {
	limit, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.NewTimer(closeLimit)
		defer timer.Stop()
		select {
		case <-timer.C:
			end()
		case <-limit.Done():
		}
	})
	return limit, func() {
		stop()
		end()
	}
}

// hand hands line after line to the publisher, until there is no more or ctx ends. The
// goroutine that reads may wait for input that never comes; it ends with the process.
func (p *publishing) hand(ctx context.Context, publisher *client.Publisher, t *tally, source io.Reader) error {
	type read struct {
		line []byte
		err  error
	}
	lines := make(chan read, 64)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(source)
		scanner.Buffer(nil, longestLine)
		for scanner.Scan() {
			select {
			case lines <- read{line: bytes.Clone(scanner.Bytes())}:
			case <-ctx.Done():
				return
			}
		}
		if err := scanner.Err(); err != nil {
			select {
			case lines <- read{err: fmt.Errorf("read line: %w", err)}:
			case <-ctx.Done():
			}
		}
	}()
	for number := int64(1); ; number++ {
		var next read
		var open bool
		select {
		case next, open = <-lines:
		case <-ctx.Done():
			return errInterrupted
		}
		if !open {
			return nil
		}
		if next.err != nil {
			return fmt.Errorf("line %d: %w", number, next.err)
		}
		line := bytes.TrimSpace(next.line)
		t.read(int64(len(next.line)) + 1)
		if number <= p.skip {
			continue
		}
		if err := p.handLine(ctx, publisher, t, number, line); err != nil {
			return err
		}
	}
}

// handLine hands over one line. What is no message counts as refused.
func (p *publishing) handLine(ctx context.Context, publisher *client.Publisher, t *tally, number int64, line []byte) error {
	if len(line) == 0 {
		t.settle(number)
		return nil
	}
	m, err := p.message(line)
	if err == nil && m.IdempotencyKey == "" && p.keyPrefix != "" {
		m.IdempotencyKey = fmt.Sprintf("%s-%d", p.keyPrefix, number)
	}
	if err != nil {
		t.refuse(number, err)
		return nil
	}
	t.take(number)
	err = publisher.Publish(ctx, m)
	switch {
	case errors.Is(err, client.ErrNotJSON):
		t.refuse(number, err)
		return nil
	case ctx.Err() != nil:
		return errInterrupted
	}
	return err //nolint:wrapcheck // says what is wrong
}

// manyLine is what is said of many at the end.
type manyLine struct {
	Accepted  int64   `json:"accepted"`
	Replayed  int64   `json:"replayed"`
	Refused   int64   `json:"refused"`
	Open      int64   `json:"open"`
	Seconds   float64 `json:"seconds"`
	KeyPrefix string  `json:"key_prefix,omitempty"`
	// NextLine is where to go on: every line before it was accepted or refused.
	NextLine int64 `json:"next_line"`
}

// report says what became of the lines, and how to go on.
func (p *publishing) report(a *app, t *tally, took time.Duration, err error) error {
	t.mu.Lock()
	said, failure := manyLine{t.accepted, t.replayed, t.refused, t.unknown, took.Seconds(), p.keyPrefix, t.next}, t.failure
	t.mu.Unlock()
	if p.format == formatJSON {
		if err := printJSON(a.Out, said); err != nil {
			return err
		}
	} else {
		text := digits.Grouped(said.Accepted) + " accepted"
		if said.Replayed > 0 {
			text += fmt.Sprintf(" (%s or more of them before, with the same key)", digits.Grouped(said.Replayed))
		}
		if said.Refused > 0 {
			text += ", " + digits.Grouped(said.Refused) + " refused"
		}
		rate := int64(float64(said.Accepted) / max(took.Seconds(), time.Millisecond.Seconds()))
		if _, err := fmt.Fprintf(a.Out, "%s in %.1f s, %s/s\n", text, took.Seconds(), digits.Grouped(rate)); err != nil {
			return err //nolint:wrapcheck // of the output
		}
	}
	switch {
	case errors.Is(failure, context.Canceled): // by who interrupted what was under way
		err = errInterrupted
	case failure != nil:
		err = explain(p.client, failure)
	}
	switch {
	case err != nil:
		goOn := fmt.Sprintf("go on with --key-prefix %s --skip %d", p.keyPrefix, said.NextLine-1)
		if p.conn.keyless {
			goOn = fmt.Sprintf("go on with --skip %d, where some may be stored twice", said.NextLine-1)
		}
		return fmt.Errorf("%w: %s were accepted; %s", err, digits.Grouped(said.Accepted), goOn)
	case said.Refused > 0:
		return fmt.Errorf("refused: %s of the lines", digits.Grouped(said.Refused)) //nolint:err113 // says what is wrong
	}
	return nil
}
