package janitor

import (
	"context"
	"time"
)

// Run calls round at regular intervals, the first time after one of them, until
// ctx ends. A round that takes longer than that is followed by the next.
func Run(ctx context.Context, every time.Duration, round func(context.Context)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			round(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// Sweep calls remove, which deletes up to limit of what is old and returns how
// many it were, until little was left, ctx ends, or it fails: that error it
// returns.
func Sweep(ctx context.Context, limit int, remove func(ctx context.Context, limit int) (int, error)) error {
	return SweepPast(ctx, limit, func(ctx context.Context, limit int, _ []struct{}) (int, []struct{}, error) {
		n, err := remove(ctx, limit)
		return n, nil, err
	})
}

// SweepPast is Sweep for what belongs to many. Whatever of it remove cannot
// delete, because another session has locked it or it is damaged, it names as blocked:
// it gets those back as skip and leaves them out, until the next round.
func SweepPast[K any](ctx context.Context, limit int, remove func(ctx context.Context, limit int, skip []K) (n int, blocked []K, err error)) error {
	var skip []K
	for ctx.Err() == nil {
		n, blocked, err := remove(ctx, limit, skip)
		if err != nil {
			return err
		}
		if n < limit && len(blocked) == 0 {
			return nil
		}
		skip = append(skip, blocked...)
	}
	return nil
}
