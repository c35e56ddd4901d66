package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	slowReaders = 150
	// slowReading is how long each keeps a connection that it does not read.
	slowReading  = 20 * time.Second
	largePayload = 1_000_000
	largeCount   = 10

	stuckUploads = 60
	stuckSize    = 16 << 20
	// stuckPause is how long each waits after it was refused or cut: it is about
	// what lies there, not about a flood.
	stuckPause = time.Second

	// slowAddress is where slow clients come from. In open mode it is their
	// owner, and not that of the others.
	slowAddress = "127.0.0.9"
	// slowMemory is what the service may take with them: it has 60 MiB at rest,
	// and a quarter of 256 MiB for the bodies of one owner, each of which may be
	// there twice until the next collection.
	slowMemory = 300 << 20
)

// slowDial connects to the service with a small receive buffer.
func (st *stage) slowDial(ctx context.Context) (net.Conn, error) {
	dialer := net.Dialer{
		LocalAddr: &net.TCPAddr{IP: net.ParseIP(slowAddress)}, Timeout: requestLimit,
		Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 4<<10)
			})
		},
	}
	conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(st.service.url(), "http://"))
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return conn, nil
}

// crowdOf runs client so many times at a time, again and again, for as long as
// meanwhile takes. Their connections end with the context that they are given.
func crowdOf(ctx context.Context, n int, meanwhile func() error, client func(context.Context)) error {
	crowd, end := context.WithCancel(ctx)
	var work sync.WaitGroup
	for range n {
		work.Go(func() {
			for crowd.Err() == nil {
				client(crowd)
			}
		})
	}
	err := meanwhile()
	end()
	work.Wait()
	return err
}

// slowReadersScenario has many clients ask for large pages that they do not read.
func slowReadersScenario(ctx context.Context, st *stage) error {
	noisy, p, err := st.quietAndOther(ctx)
	if err != nil {
		return err
	}
	large := st.ledger.openLarge(noisy, largeCount, largePayload)
	st.ledger.close(large, st.client.publish(ctx, large))
	var asked, cut atomic.Int64
	err = st.within(ctx, bounds{stored: maxRatio, memory: slowMemory}, p, st.measure, func(ctx context.Context, meanwhile func() error) error {
		return crowdOf(ctx, slowReaders, meanwhile, func(ctx context.Context) {
			conn, err := st.slowDial(ctx)
			if err != nil {
				rest(ctx, stuckPause)
				return
			}
			defer conn.Close()
			asked.Add(1)
			if _, err := fmt.Fprintf(conn, "GET /api/messages?limit=1000 HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: %s\r\n\r\n", noisy); err != nil {
				return
			}
			rest(ctx, slowReading)
			if ctx.Err() != nil {
				return
			}
			// It was cut when there is an end to what the system kept.
			_ = conn.SetReadDeadline(time.Now().Add(requestLimit))
			if n, err := io.Copy(io.Discard, conn); err != nil && n < largePayload {
				cut.Add(1)
			}
		})
	})
	st.show("slow readers", "%d at a time asked %d times, %d were cut before they had a tenth", slowReaders, asked.Load(), cut.Load())
	return errors.Join(err, st.check(ctx))
}

// stuckUploadsScenario has many clients send all of a large batch but its end.
func stuckUploadsScenario(ctx context.Context, st *stage) error {
	noisy, p, err := st.quietAndOther(ctx)
	if err != nil {
		return err
	}
	body := bytes.Repeat([]byte(" "), stuckSize-10)
	var answers [600]atomic.Int64
	err = st.within(ctx, bounds{stored: maxRatio, memory: slowMemory}, p, st.measure, func(ctx context.Context, meanwhile func() error) error {
		return crowdOf(ctx, stuckUploads, meanwhile, func(ctx context.Context) {
			if status := st.stuckUpload(ctx, noisy, body); status < len(answers) {
				answers[status].Add(1)
			}
			rest(ctx, stuckPause)
		})
	})
	st.show("stuck uploads", "%d at a time, %d refused for their memory, %d given up, %d ended without an answer", stuckUploads,
		answers[http.StatusServiceUnavailable].Load(), answers[http.StatusRequestTimeout].Load(), answers[0].Load())
	if answers[http.StatusServiceUnavailable].Load() == 0 || answers[http.StatusRequestTimeout].Load() == 0 {
		st.fail("no upload was refused, or none given up")
	}
	return errors.Join(err, st.check(ctx))
}

// stuckUpload returns the status of the answer, or 0.
func (st *stage) stuckUpload(ctx context.Context, tenant string, body []byte) int {
	conn, err := st.slowDial(ctx)
	if err != nil {
		return 0
	}
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /api/messages/batch HTTP/1.1\r\nHost: localhost\r\nX-Tenant-ID: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n",
		tenant, stuckSize); err != nil {
		return 0
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = conn.Write(body) // a refusal ends it
	}()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	_ = conn.Close()
	<-sent
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// openLarge is open for messages of a size.
func (l *ledger) openLarge(tenant string, n, size int) []*attempt {
	l.mu.Lock()
	defer l.mu.Unlock()
	attempts := make([]*attempt, n)
	var lines strings.Builder
	for i := range attempts {
		l.last++
		a := &attempt{number: l.last, tenant: tenant}
		a.payload = fmt.Appendf(nil, `{"attempt":%d,"text":%q}`, l.last, strings.Repeat("x", size))
		a.hash = hashOf(a.payload)
		a.line(&lines)
		attempts[i] = a
	}
	l.write(lines.String())
	return attempts
}
