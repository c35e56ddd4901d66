package server

import (
	"fmt"
	"log/slog"
	"time"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/sealing"
	"lanekeeper/pkg/webhook"
	"lanekeeper/repository"
	"lanekeeper/service/endpoint"
)

// endpoints is what callers do with endpoints, and what sends messages to them.
type endpoints struct {
	client   *webhook.Client
	service  *endpoint.Service
	attempts *endpoint.Attempts
	replays  *endpoint.Replays
}

func newEndpoints(c config.Config, store *repository.Store, limits domain.LimitFinder, now func() time.Time, log *slog.Logger) endpoints {
	client := webhook.NewClient(webhook.ClientOptions{AllowPrivate: c.Delivery.AllowPrivate, AllowLocal: c.Delivery.AllowLocal})
	return endpoints{
		client: client,
		service: endpoint.New(endpoint.Options{
			Tenants: store, Endpoints: store, Keys: store, Sender: client, AllowPrivate: c.Delivery.AllowPrivate,
			AllowLocal: c.Delivery.AllowLocal, Limits: limits, Now: now, Log: log,
		}),
		attempts: endpoint.NewAttempts(endpoint.AttemptOptions{
			Tenants: store, Endpoints: store, Messages: store, Attempts: store, Deliveries: store,
		}),
		replays: endpoint.NewReplays(endpoint.ReplayOptions{Tenants: store, Endpoints: store, Replays: store}),
	}
}

// newSealer returns what encrypts the secrets and headers of endpoints.
func newSealer(c config.Config) (*sealing.Sealer, error) {
	keys, err := c.EncryptionKeyBytes()
	if err != nil {
		return nil, fmt.Errorf("encryption_keys: %w", err)
	}
	sealer, err := sealing.New(keys...)
	if err != nil {
		return nil, fmt.Errorf("encryption_keys: %w", err)
	}
	return sealer, nil
}
