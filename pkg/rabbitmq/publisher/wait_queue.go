package publisher

// waitQueue holds the requests that found no room in flight, in the order of their
// arrival for each queue; the queues take turns. It is for the channel's goroutine
// only.
type waitQueue struct {
	requests map[string][]*request
	order    []string
}

// add puts a request behind the others for its queue.
func (w *waitQueue) add(r *request) {
	if len(w.requests[r.queue]) == 0 {
		w.order = append(w.order, r.queue)
	}
	w.requests[r.queue] = append(w.requests[r.queue], r)
}

func (w *waitQueue) has(queue string) bool { return len(w.requests[queue]) > 0 }

// serveAll calls serve with every queue's first request, and with the next one as
// long as the one before is done. It ends when more is false.
func (w *waitQueue) serveAll(serve func(*request) (done, more bool)) {
	order := w.order
	w.order = order[:0] // never ahead of what is read
	more := true
	var served []string
	for i, queue := range order {
		waiting := w.requests[queue]
		before := len(waiting)
		for done := true; more && done && len(waiting) > 0; {
			if done, more = serve(waiting[0]); done {
				waiting[0] = nil
				waiting = waiting[1:]
			}
		}
		w.requests[queue] = waiting
		switch {
		case len(waiting) == 0:
			delete(w.requests, queue)
		case len(waiting) < before:
			served = append(served, queue) // the others first, the next time
		default:
			w.order = append(w.order, queue)
		}
		if !more {
			w.order = append(w.order, order[i+1:]...)
			break
		}
	}
	w.order = append(w.order, served...)
}

// failWhere fails the requests for which why returns an error, and returns how many
// those are.
func (w *waitQueue) failWhere(why func(*request) error) (failed int) {
	order := w.order
	w.order = order[:0]
	for _, queue := range order {
		kept := w.requests[queue][:0]
		for _, r := range w.requests[queue] {
			if err := why(r); err != nil {
				r.fail(err)
				failed++
			} else {
				kept = append(kept, r)
			}
		}
		clear(w.requests[queue][len(kept):])
		w.requests[queue] = kept
		if len(kept) == 0 {
			delete(w.requests, queue)
		} else {
			w.order = append(w.order, queue)
		}
	}
	return failed
}
