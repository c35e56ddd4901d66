package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"lanekeeper/tests/chaos/fault"
	"lanekeeper/tests/chaos/ledger"
	"lanekeeper/tests/chaos/load"
	"lanekeeper/tests/chaos/verify"
	"lanekeeper/tests/chaos/wait"
)

const (
	slowReaders = 150
	// slowReading is how long each keeps a connection that it does not read.
	slowReading  = 20 * time.Second
	largePayload = 1_000_000
	largeCount   = 10

	stuckUploads = 60
	stuckSize    = 16 << 20
	// stuckPause is how long each waits after it was refused or cut: this is about
	// what is held in memory, not about a flood.
	stuckPause = time.Second
	// stuckWait is after how long at least one has been given up.
	stuckWait = 10 * time.Second

	// slowMemory is what the service may take with them: it has 60 MiB at rest,
	// and a quarter of 256 MiB for the bodies of one owner, each of which may be
	// there twice until the next collection.
	slowMemory = 300 << 20
)

// slowReadersScenario has many clients ask for large pages that they do not read.
func slowReadersScenario(ctx context.Context, t *trial) error {
	noisy, p, err := t.quietAndOther(ctx)
	if err != nil {
		return err
	}
	large := t.ledger.OpenLarge(noisy, largeCount, largePayload)
	outcomes := t.client.Publish(ctx, large)
	t.ledger.Close(large, outcomes)
	for _, o := range outcomes {
		if o.State != ledger.Accepted {
			return fmt.Errorf("%w: publish large messages: %s", load.ErrUnexpected, o.Why)
		}
	}
	var asked, cut atomic.Int64
	err = t.within(ctx, verify.Bounds{Stored: verify.MaxRatio, Memory: slowMemory}, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		return fault.Crowd(ctx, slowReaders, meanwhile, func(ctx context.Context) {
			conn, err := fault.SlowDial(ctx, t.Service.URL())
			if err != nil {
				wait.For(ctx, stuckPause)
				return
			}
			defer conn.Close()
			asked.Add(1)
			if _, err := fmt.Fprintf(conn, "GET /api/messages?limit=1000 HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: %s\r\n\r\n", noisy); err != nil {
				return
			}
			wait.For(ctx, slowReading)
			if ctx.Err() != nil {
				return
			}
			// It was cut if what the system had kept comes to an end.
			_ = conn.SetReadDeadline(time.Now().Add(load.RequestLimit))
			if n, err := io.Copy(io.Discard, conn); err != nil && n < largePayload {
				cut.Add(1)
			}
		})
	})
	t.Show("slow readers", "%d at a time asked %d times, %d were cut before they had a tenth", slowReaders, asked.Load(), cut.Load())
	return errors.Join(err, t.check(ctx))
}

// stuckUploadsScenario has many clients send all of a large batch but its end.
func stuckUploadsScenario(ctx context.Context, t *trial) error {
	noisy, p, err := t.quietAndOther(ctx)
	if err != nil {
		return err
	}
	body := bytes.Repeat([]byte(" "), stuckSize-10)
	var answers [600]atomic.Int64
	err = t.within(ctx, verify.Bounds{Stored: verify.MaxRatio, Memory: slowMemory}, p, t.measure, func(ctx context.Context, meanwhile func() error) error {
		return fault.Crowd(ctx, stuckUploads, meanwhile, func(ctx context.Context) {
			if status := fault.StuckUpload(ctx, t.Service.URL(), noisy, body, stuckSize); status < len(answers) {
				answers[status].Add(1)
			}
			wait.For(ctx, stuckPause)
		})
	})
	t.Show("stuck uploads", "%d at a time, %d refused for their memory, %d given up, %d ended without an answer", stuckUploads,
		answers[http.StatusServiceUnavailable].Load(), answers[http.StatusRequestTimeout].Load(), answers[0].Load())
	if answers[http.StatusServiceUnavailable].Load() == 0 {
		t.Fail("no upload was refused")
	}
	// In the short form the service would wait for them still.
	if t.measure > stuckWait && answers[http.StatusRequestTimeout].Load() == 0 {
		t.Fail("no upload was given up")
	}
	return errors.Join(err, t.check(ctx))
}
