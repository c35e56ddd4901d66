package receiver

import (
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// maxExamples is how many deliveries too many are described one by one.
const maxExamples = 3

// Arrival is one request to an endpoint.
type Arrival struct {
	Message string // its id
	Seq     int64
	Key     string // for the order of deliveries
	Body    uint64 // its Hash
	At      time.Time
	// Taken says that it was answered with success while its sender was there.
	Taken bool
}

// Hash is what an Arrival has of a body.
func Hash(body []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(body) // never fails
	return h.Sum64()
}

// Endpoint is a path of a Receiver.
type Endpoint struct {
	URL string

	mu        sync.Mutex // guards what follows; nothing waits while it is held
	answer    Answer
	arrivals  []Arrival
	now, most int
	last      time.Time
	taken     int
	// before is how many may be under way until from, and limit after that.
	before, limit int
	from          time.Time
	above         int
	examples      []string
}

func newEndpoint(url string, answer Answer) *Endpoint {
	return &Endpoint{URL: url, answer: answer, before: math.MaxInt, limit: math.MaxInt}
}

// Answer changes how the requests that follow are answered.
func (e *Endpoint) Answer(answer Answer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

// Limit is how many requests may be under way when one arrives, once grace is over.
// Until then it may be as many as before, or as now if that is more.
func (e *Endpoint) Limit(n int, grace time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.before, e.limit, e.from = max(n, e.limit), n, time.Now().Add(grace)
}

// Above returns how many requests arrived above the limit, and some examples.
func (e *Endpoint) Above() (n int, examples []string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.above, e.examples
}

// Most returns how many requests were under way at most since it was last asked.
func (e *Endpoint) Most() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	most := e.most
	e.most = e.now
	return most
}

// Taken returns how many requests were answered with success, and when the last
// request of all arrived.
func (e *Endpoint) Taken() (n int, last time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.taken, e.last
}

// Arrivals returns all requests so far, in order.
func (e *Endpoint) Arrivals() []Arrival {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]Arrival(nil), e.arrivals...)
}

func (e *Endpoint) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the sender is gone
	}
	seq, _ := strconv.ParseInt(r.Header.Get("Lanekeeper-Seq"), 10, 64) // 0 is no message's
	a := Arrival{
		Message: r.Header.Get("Webhook-Id"), Seq: seq, Key: r.Header.Get("Lanekeeper-Ordering-Key"), Body: Hash(body), At: time.Now(),
	}
	n, answer := e.arrive(a)
	status := answer(r.Context(), &a)
	e.leave(n, status/100 == 2 && r.Context().Err() == nil)
	if status == 0 {
		panic(http.ErrAbortHandler) // which breaks the connection and says nothing
	}
	w.WriteHeader(status)
}

// arrive notes a request that begins, and returns which one it is.
func (e *Endpoint) arrive(a Arrival) (n int, answer Answer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now++
	e.most = max(e.most, e.now)
	e.last = a.At
	limit := e.limit
	if a.At.Before(e.from) {
		limit = e.before
	}
	if e.now > limit {
		if e.above++; len(e.examples) < maxExamples {
			e.examples = append(e.examples, fmt.Sprintf("message %d at %s came as number %d of at most %d", a.Seq, e.URL, e.now, limit))
		}
	}
	e.arrivals = append(e.arrivals, a)
	return len(e.arrivals) - 1, e.answer
}

// leave notes the end of a request: before the sender sees the answer, and begins
// another one.
func (e *Endpoint) leave(n int, taken bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.now--
	if taken {
		e.taken++
		e.arrivals[n].Taken = true
	}
}
