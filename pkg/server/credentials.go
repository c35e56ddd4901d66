package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"

	amqp "github.com/rabbitmq/amqp091-go"

	"lanekeeper/config"
	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq"
	"lanekeeper/pkg/rabbitmq/management"
	"lanekeeper/repository"
	"lanekeeper/service/broker"
	"lanekeeper/service/credential"
)

// managementClient returns a client of the configured management API, and the broker
// that comes first in rabbitmq.url, whose virtual host it is for.
func managementClient(c config.Config) (*management.Client, amqp.URI, error) {
	urls, err := rabbitmq.SplitURLs(c.RabbitMQ.URL)
	if err != nil {
		return nil, amqp.URI{}, fmt.Errorf("rabbitmq.url: %w", err)
	}
	uri, err := amqp.ParseURI(urls[0])
	if err != nil {
		return nil, amqp.URI{}, fmt.Errorf("rabbitmq.url: %w", err)
	}
	location, err := url.Parse(c.RabbitMQ.ManagementURL)
	if err != nil {
		return nil, uri, errors.New("rabbitmq.management_url is not a valid URL") // what url.Parse says may hold a password
	}
	if location.User == nil {
		location.User = url.UserPassword(uri.Username, uri.Password)
	}
	client, err := management.New(location.String(), uri.Vhost)
	if err != nil {
		return nil, uri, fmt.Errorf("rabbitmq.management_url: %w", err)
	}
	return client, uri, nil
}

// newCredentials returns what has the AMQP credentials of tenants. Without a management
// API it makes none.
func newCredentials(c config.Config, store *repository.Store, tenants domain.TenantRepository, b *broker.Broker, log *slog.Logger) (*credential.Service, error) {
	o := credential.Options{Records: store, Tenants: tenants, Log: log}
	if c.RabbitMQ.ManagementURL == "" {
		return credential.NewService(o), nil
	}
	client, uri, err := managementClient(c)
	if err != nil {
		return nil, err
	}
	address := &url.URL{Scheme: uri.Scheme, Host: net.JoinHostPort(uri.Host, strconv.Itoa(uri.Port))}
	if c.RabbitMQ.PublicURL != "" {
		if address, err = url.Parse(c.RabbitMQ.PublicURL); err != nil {
			return nil, errors.New("rabbitmq.public_url is not a valid URL")
		}
	}
	o.Users = b.Users(broker.UserOptions{Management: client, Address: address, VirtualHost: uri.Vhost})
	return credential.NewService(o), nil
}
