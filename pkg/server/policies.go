package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/logger"
	"lanekeeper/pkg/metrics"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/management"
	"lanekeeper/service/broker"
)

// policiesEvery is how often the broker is asked for policies, and
// policiesTimeout is for all of its answers.
const (
	policiesEvery   = time.Minute
	policiesTimeout = 30 * time.Second
)

// shortenedQueues returns what asks for queues whose messages go away by a
// policy, or nil when the management API is not configured.
func shortenedQueues(c config.Config) (func(context.Context) ([]domain.ShortenedQueue, error), error) {
	if c.RabbitMQ.ManagementURL == "" {
		return nil, nil //nolint:nilnil // there is none to ask
	}
	urls, err := rabbitmq.SplitURLs(c.RabbitMQ.URL)
	if err != nil {
		return nil, fmt.Errorf("rabbitmq.url: %w", err)
	}
	uri, err := amqp.ParseURI(urls[0])
	if err != nil {
		return nil, fmt.Errorf("rabbitmq.url: %w", err)
	}
	location, err := url.Parse(c.RabbitMQ.ManagementURL)
	if err != nil {
		return nil, errors.New("rabbitmq.management_url is not a valid URL") // what url.Parse says may hold a password
	}
	if location.User == nil {
		location.User = url.UserPassword(uri.Username, uri.Password)
	}
	client, err := management.New(location.String(), uri.Vhost)
	if err != nil {
		return nil, fmt.Errorf("rabbitmq.management_url: %w", err)
	}
	options := brokerOptions(c)
	return func(ctx context.Context) ([]domain.ShortenedQueue, error) {
		return broker.ShortenedQueues(ctx, options, client) //nolint:wrapcheck // says what it read
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
