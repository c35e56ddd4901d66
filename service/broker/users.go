package broker

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"

	"github.com/google/uuid"

	"lanekeeper/domain"
	"lanekeeper/pkg/rabbitmq/management"
)

// What one tenant's user may have open at a time, so that no tenant takes what all
// clients of the broker share.
const (
	maxUserConnections = 10
	maxUserChannels    = 50
)

// nothing is the pattern that no name matches.
const nothing = "^$"

// UserOptions configure Broker.Users.
type UserOptions struct {
	Management *management.Client
	// Address is where clients reach the broker: a URL with scheme, host and port only.
	Address *url.URL
	// VirtualHost is the one that the tenants' queues are in.
	VirtualHost string
}

// Users makes and deletes users of the broker. It is safe for concurrent use.
type Users struct {
	queues *Queues
	o      UserOptions
}

var _ domain.BrokerUsers = (*Users)(nil)

// Users returns what manages the users of tenants. Options.Exchanges has to be set.
func (b *Broker) Users(o UserOptions) *Users { return &Users{queues: b.Queues, o: o} }

// GrantAMQP implements domain.BrokerUsers. The user may write to the tenant's exchange,
// and neither configure nor read anything: it can consume, bind, declare, purge and
// delete nothing. RabbitMQ asks for no permission to declare passively, by which a
// client who knows the name of a queue learns how many messages and consumers it has.
func (u *Users) GrantAMQP(ctx context.Context, tenantID uuid.UUID, password string) error {
	if err := u.queues.makeExchange(ctx, tenantID); err != nil {
		return err
	}
	name := UserName(tenantID)
	err := u.o.Management.PutUser(ctx, management.User{
		Name: name, Password: password,
		Configure: nothing, Write: "^" + regexp.QuoteMeta(ExchangeName(tenantID)) + "$", Read: nothing,
		MaxConnections: maxUserConnections, MaxChannels: maxUserChannels,
	})
	if err == nil {
		err = u.o.Management.CloseConnections(ctx, name) // of the password before
	}
	return manageError(err)
}

// RevokeAMQP implements domain.BrokerUsers.
func (u *Users) RevokeAMQP(ctx context.Context, tenantID uuid.UUID) error {
	return manageError(u.o.Management.DeleteUser(ctx, UserName(tenantID)))
}

// GrantedAMQP implements domain.BrokerUsers.
func (u *Users) GrantedAMQP(ctx context.Context) ([]uuid.UUID, error) {
	names, err := u.o.Management.PermittedUsers(ctx)
	if err != nil {
		return nil, manageError(err)
	}
	var owners []uuid.UUID
	for _, name := range names {
		if id, ours := userOwner(name); ours {
			owners = append(owners, id)
		}
	}
	return owners, nil
}

// AMQPAccess implements domain.BrokerUsers.
func (u *Users) AMQPAccess(tenantID uuid.UUID) domain.AMQPAccess {
	return domain.AMQPAccess{
		URL:         u.o.Address.Scheme + "://" + u.o.Address.Host + "/" + url.PathEscape(u.o.VirtualHost),
		VirtualHost: u.o.VirtualHost, Username: UserName(tenantID), Exchange: ExchangeName(tenantID),
	}
}

func manageError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, management.ErrRefused):
		return domain.AMQPNotConfigured(err)
	}
	return domain.Wrap(fmt.Errorf("manage users of the broker: %w", err), domain.ErrUnavailable, "broker_unavailable",
		"The message broker's management API cannot be reached; try again shortly.").After(retryAfter)
}
