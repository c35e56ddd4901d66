package server

import (
	"context"
	"log/slog"
	"time"

	"lanekeeper/domain"
	"lanekeeper/pkg/backoff"
	"lanekeeper/pkg/logger"
)

const (
	// emptyTiersEvery is how often it is looked whether what an earlier version
	// left is gone.
	emptyTiersEvery   = time.Minute
	emptyTiersTimeout = 30 * time.Second
)

// emptyRetryTiers takes away the retry tiers of earlier versions as they become
// empty, until none is left or ctx ends.
func emptyRetryTiers(ctx context.Context, retries domain.LegacyRetries, log *slog.Logger) {
	failures := logger.Changes{Remind: emptyTiersEvery * 10}
	for {
		limited, cancel := context.WithTimeout(ctx, emptyTiersTimeout)
		tiers, messages, err := retries.EmptyRetryTiers(limited)
		cancel()
		switch {
		case err == nil && tiers == 0:
			return
		case err == nil:
			failures.Recovered()
			log.InfoContext(ctx, "retry tiers of an earlier version are left", slog.Int("tiers", tiers), slog.Int64("messages", messages))
		case ctx.Err() == nil && failures.Failed(err.Error()):
			log.WarnContext(ctx, "retry tiers of an earlier version cannot be deleted, trying on", slog.Any("error", err))
		}
		if backoff.Sleep(ctx, emptyTiersEvery) != nil {
			return
		}
	}
}
