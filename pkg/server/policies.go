package server

import (
	"context"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/metrics"
	"lanekeeper/service/broker"
)

// policiesEvery is how often the broker is asked for policies, and
// policiesTimeout is for all of its answers.
const (
	policiesEvery   = time.Minute
	policiesTimeout = 30 * time.Second
)

// policyReader returns what reads policies, or nil when the management API is not
// configured.
func policyReader(c config.Config) (broker.PolicyReader, error) {
	if c.RabbitMQ.ManagementURL == "" {
		return nil, nil //nolint:nilnil // there is none to ask
	}
	client, _, err := managementClient(c)
	if err != nil {
		return nil, err
	}
	return client, nil
}

// shortenedQueues returns what asks for queues whose messages go away by a
// policy, or nil when nobody can be asked.
func shortenedQueues(c config.Config) (func(context.Context) ([]domain.ShortenedQueue, error), error) {
	reader, err := policyReader(c)
	if reader == nil {
		return nil, err
	}
	options := brokerOptions(c)
	return func(ctx context.Context) ([]domain.ShortenedQueue, error) {
		return broker.ShortenedQueues(ctx, options, reader) //nolint:wrapcheck // says what it read
	}, nil
}

// shortenedQueuesOf is shortenedQueues for the queues of one tenant.
func shortenedQueuesOf(c config.Config) (func(context.Context, uuid.UUID) ([]domain.ShortenedQueue, error), error) {
	reader, err := policyReader(c)
	if reader == nil {
		return nil, err
	}
	options := brokerOptions(c)
	return func(ctx context.Context, id uuid.UUID) ([]domain.ShortenedQueue, error) {
		return broker.ShortenedQueuesOf(ctx, options, reader, id) //nolint:wrapcheck // says what it read
	}, nil
}

// policyWatch warns of policies by which accepted messages go away, in the log
// and as a metric.
type policyWatch struct {
	// shortened asks for them; nil when there is none to ask.
	shortened func(context.Context) ([]domain.ShortenedQueue, error)
	metrics   *metrics.Metrics
	log       *slog.Logger
}

// run asks every minute until ctx ends.
func (p *policyWatch) run(ctx context.Context) {
	if p.shortened == nil {
		return
	}
	tick := time.NewTicker(policiesEvery)
	defer tick.Stop()
	failures, warnings := logger.Changes{Remind: policiesEvery}, logger.Changes{Remind: policiesEvery}
	for {
		p.check(ctx, &failures, &warnings)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (p *policyWatch) check(ctx context.Context, failures, warnings *logger.Changes) {
	limited, cancel := context.WithTimeout(ctx, policiesTimeout)
	defer cancel()
	queues, err := p.shortened(limited)
	if err != nil {
		if ctx.Err() == nil && failures.Failed("") {
			p.log.WarnContext(ctx, "policies of the broker cannot be read", slog.Any("error", err))
		}
		p.metrics.SetShortenedQueues(nil)
		return
	}
	bySetting := make(map[string]int)
	for i := range queues {
		q := &queues[i]
		bySetting[q.Setting]++
		if warnings.Failed(q.Policy + " " + q.Setting) {
			p.log.WarnContext(ctx, "a policy of the broker makes accepted messages go away", slog.String("policy", q.Policy),
				slog.String("setting", q.Setting), slog.String("value", q.Value), slog.String("queue", q.Queue))
		}
	}
	p.metrics.SetShortenedQueues(bySetting)
}
