package topology

import (
	"context"
	"fmt"
	"sync"
)

// questions knows the queues that were asked something and have not answered.
type questions struct {
	mu sync.Mutex
	// open has one question for each queue, however many are under way; guarded
	// by mu, with what it points to.
	open map[string]*question
}

// question is one that a queue was asked and has not answered.
type question struct {
	answered chan struct{}
	givenUp  bool // nobody waits for the answer any more
}

func newQuestions() *questions { return &questions{open: make(map[string]*question)} }

// ask runs a question to a queue, unless an earlier one was given up and is not
// answered yet: then it waits for that answer first. So a queue that does not
// answer takes one channel, however often it is asked. What the question does
// with its channel it has to do between begin and the function that begin
// returns.
func (q *questions) ask(ctx context.Context, queue string, question func(begin func() (answered func())) error) error {
	for {
		q.mu.Lock()
		before := q.open[queue]
		wait := before != nil && before.givenUp
		q.mu.Unlock()
		if !wait {
			break
		}
		select {
		case <-before.answered:
		case <-ctx.Done():
			return fmt.Errorf("no answer from the broker to an earlier question: %w", ctx.Err())
		}
	}
	err := question(func() func() { return q.begin(queue) })
	if ctx.Err() != nil {
		q.mu.Lock()
		defer q.mu.Unlock()
		if open := q.open[queue]; open != nil {
			open.givenUp = true
		}
	}
	return err
}

func (q *questions) begin(queue string) (answered func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open[queue] != nil {
		return func() {}
	}
	open := &question{answered: make(chan struct{})}
	q.open[queue] = open
	return func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		delete(q.open, queue)
		close(open.answered)
	}
}
