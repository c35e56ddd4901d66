package fault

import (
	"context"
	"errors"
	"sync"
	"time"
)

// While runs disturb again and again, in this many goroutines, for as long as
// meanwhile takes.
func While(ctx context.Context, atOnce int, meanwhile func() error, disturb func(context.Context)) error {
	quit := make(chan struct{})
	var work sync.WaitGroup
	for range atOnce {
		work.Go(func() {
			for {
				select {
				case <-quit:
					return
				default:
					disturb(ctx)
				}
			}
		})
	}
	err := meanwhile()
	close(quit)
	work.Wait()
	return err
}

// Crowd is While, except that the context of the clients ends with meanwhile.
func Crowd(ctx context.Context, n int, meanwhile func() error, client func(context.Context)) error {
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

// During runs work until meanwhile has returned, and returns the errors of
// both.
func During(meanwhile func() error, work func(quit <-chan struct{}) error) error {
	quit := make(chan struct{})
	done := make(chan error, 1)
	go func() { done <- work(quit) }()
	err := meanwhile()
	close(quit)
	return errors.Join(err, <-done)
}

// RestUnless waits for d, and returns true at once when quit is closed.
func RestUnless(quit <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-quit:
		return true
	case <-timer.C:
		return false
	}
}
