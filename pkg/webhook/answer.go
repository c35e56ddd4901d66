package webhook

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

const (
	// maxAnswer is how much of an answer's body a Result has, in bytes.
	maxAnswer = 4 << 10
	// maxDrained is how much of it is read, and drainTimeout for how long. That is
	// done for the sake of the connection, which can be used again only when the
	// body was read to its end.
	maxDrained   = 64 << 10
	drainTimeout = 500 * time.Millisecond
	// maxRetryAfter bounds what a receiver may ask for.
	maxRetryAfter = 30 * 24 * time.Hour
)

// read returns the beginning of an answer's body, and reads what little more it
// should have. It gives up on one that has more or takes its time.
func read(body io.Reader, abort func()) []byte {
	timer := time.AfterFunc(drainTimeout, abort)
	defer timer.Stop()
	var answer bytes.Buffer
	if n, err := io.CopyN(&answer, body, maxAnswer); err == nil {
		_, _ = io.CopyN(io.Discard, body, maxDrained-n)
	}
	if answer.Len() == 0 {
		return nil
	}
	return answer.Bytes()
}

// errorOf returns what is wrong with a status; nil for success.
func errorOf(status int) error {
	switch {
	case status >= 200 && status < 300:
		return nil
	case status >= 300 && status < 400:
		return fmt.Errorf("status %d: such redirects are not followed", status)
	}
	return fmt.Errorf("status %d", status)
}

// retryAfter returns for how long a receiver that is busy wants to be left alone; 0
// when it does not say, or says nothing that can be understood.
func retryAfter(r *http.Response, now time.Time) time.Duration {
	if r.StatusCode != http.StatusTooManyRequests && r.StatusCode != http.StatusServiceUnavailable {
		return 0
	}
	text := r.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	return max(0, min(at.Sub(now), maxRetryAfter))
}
