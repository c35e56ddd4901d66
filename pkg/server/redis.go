package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"lanekeeper/config"
)

// redisOptions returns where Redis is, or nil when there is none.
func redisOptions(c config.Config) (*redis.Options, error) {
	if c.Redis.URL == "" {
		return nil, nil //nolint:nilnil // none is one of the three outcomes
	}
	options, err := redis.ParseURL(c.Redis.URL)
	if err != nil {
		return nil, errors.New("redis.url (REDIS_URL) has a parameter that the Redis client does not know, or a value that it does not take") // the cause may quote the password
	}
	return options, nil
}

// redisLog writes what the Redis client says of itself to our log. That Redis is
// away is reported by what uses it.
type redisLog struct{ log *slog.Logger }

// Printf implements what redis.SetLogger asks for. The client has one logger
// for the whole process.
func (l redisLog) Printf(ctx context.Context, format string, v ...any) {
	l.log.DebugContext(ctx, "the Redis client says something", slog.String("text", fmt.Sprintf(format, v...)))
}

// pingOptions returns how to ask Redis whether it is there: once, and not for
// longer than pingTimeout or the deadline of the context, which the client
// heeds only with that option.
func pingOptions(o *redis.Options) *redis.Options {
	options := *o
	options.ContextTimeoutEnabled = true
	options.MaxRetries, options.DialerRetries = -1, 1
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout, options.PoolTimeout = pingTimeout, pingTimeout, pingTimeout, pingTimeout
	options.PoolSize, options.MinIdleConns, options.PipelinePoolSize = 4, 0, -1
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &options
}

// pingRedis returns what asks Redis whether it is there, and what closes the
// connections for that.
func pingRedis(options *redis.Options) (ping func(context.Context) error, closePing func() error) {
	client := redis.NewClient(pingOptions(options))
	return func(ctx context.Context) error { return client.Ping(ctx).Err() }, client.Close
}
