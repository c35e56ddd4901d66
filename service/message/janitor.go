package message

import (
	"context"
	"log/slog"
	"time"
)

const (
	// janitorEvery is how often expired keys are looked for, and
	// janitorChunk how many are deleted in one statement.
	janitorEvery = time.Minute
	janitorChunk = 5000
)

// RunJanitor deletes expired idempotency keys, in chunks, until ctx ends. Any
// number of replicas may run one.
func (s *Service) RunJanitor(ctx context.Context) {
	tick := time.NewTicker(janitorEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.deleteExpiredKeys(ctx)
		case <-ctx.Done():
			return
		}
	}
}

func (s *Service) deleteExpiredKeys(ctx context.Context) {
	for ctx.Err() == nil {
		n, err := s.o.Keys.DeleteExpiredKeys(ctx, janitorChunk)
		if err != nil {
			s.o.Log.DebugContext(ctx, "expired idempotency keys not deleted, trying again later", slog.Any("error", err))
			return
		}
		if n < janitorChunk {
			return
		}
	}
}
