package main

import (
	"errors"
	"log/slog"
	"os"

	"lanekeeper/domain"
	"lanekeeper/pkg/server"
	"lanekeeper/tests/chaos/boot"
)

func main() {
	boot.Main("bugs", func(log *slog.Logger) (server.Decorators, error) {
		return decorators(os.Getenv("CHAOS_BUG"), os.Getenv("CHAOS_RECORD"), log)
	})
}

var errNoBug = errors.New("CHAOS_BUG must be the name of a bug, or CHAOS_RECORD be set")

func decorators(bug, record string, log *slog.Logger) (server.Decorators, error) {
	switch bug {
	case "":
		if record == "" {
			break
		}
		r, err := newRecorder(record)
		return server.Decorators{Messages: func(m domain.MessageRepository) domain.MessageRepository {
			r.MessageRepository = m
			return r
		}}, err
	case "ack-before-commit":
		return server.Decorators{Messages: func(m domain.MessageRepository) domain.MessageRepository {
			return &earlyRepository{MessageRepository: m, log: log}
		}}, nil
	case "no-mandatory":
		return server.Decorators{Publisher: func(p domain.Publisher) domain.Publisher { return carelessPublisher{p} }}, nil
	case "stale-acks":
		return server.Decorators{Subscriber: func(s domain.Subscriber) domain.Subscriber { return newStaleSubscriber(s) }}, nil
	case "settle-before-answer":
		return deliveries(func(r domain.DeliveryRepository) domain.DeliveryRepository { return hastyDeliveries{r} }), nil
	case "claim-at-once":
		return deliveries(func(r domain.DeliveryRepository) domain.DeliveryRepository { return greedyDeliveries{r} }), nil
	case "cursor-without-row":
		return deliveries(func(r domain.DeliveryRepository) domain.DeliveryRepository { return forgetfulDeliveries{r} }), nil
	}
	return server.Decorators{}, errNoBug
}

func deliveries(decorate func(domain.DeliveryRepository) domain.DeliveryRepository) server.Decorators {
	return server.Decorators{Deliveries: decorate}
}
