package server

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// watchRedis makes readiness tell how Redis does, when there is one.
func (p *parts) watchRedis() error {
	p.closeRedis = func() error { return nil }
	if p.config.Redis.URL == "" {
		return nil
	}
	options, err := redis.ParseURL(p.config.Redis.URL)
	if err != nil {
		return fmt.Errorf("redis.url is not valid") //nolint:err113 // the cause may quote the password
	}
	client := redis.NewClient(options)
	p.closeRedis = client.Close
	p.readiness.pings["redis"] = func(ctx context.Context) error { return client.Ping(ctx).Err() }
	return nil
}
