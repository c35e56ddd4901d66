package apptest

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"lanekeeper/config"
	"lanekeeper/pkg/devstack/devtest"
)

// ManagingUsers lets the service manage users of the broker, in a virtual host of the
// test's own.
func ManagingUsers(t testing.TB) Option {
	t.Helper()
	return Managing(devtest.NewVirtualHost(t))
}

// Managing is ManagingUsers in this virtual host.
func Managing(v *devtest.VirtualHost) Option {
	management := v.AdminManagementURL("tenant_")
	return func(c *config.Config) { c.RabbitMQ.URL, c.RabbitMQ.ManagementURL = v.Admin(), management }
}

// AMQPCredentials are AMQP credentials as the service answers them.
type AMQPCredentials struct {
	TenantID   string `json:"tenant_id"`
	URL        string `json:"url"`
	VHost      string `json:"vhost"`
	Username   string `json:"username"`
	Password   string `json:"password"`
	Exchange   string `json:"exchange"`
	RoutingKey string `json:"routing_key"`
	IssuedAt   string `json:"issued_at"`
	CreatedAt  string `json:"created_at"`
}

// AMQPPath is where the AMQP credentials of a tenant are.
func AMQPPath(tenant string) string { return "/api/tenants/" + tenant + "/amqp-credentials" }

// IssueAMQP makes the AMQP credentials of a tenant, or makes them anew.
func (c *Client) IssueAMQP(tenant string) AMQPCredentials {
	c.t.Helper()
	var issued AMQPCredentials
	c.Want(http.StatusCreated, &issued, "POST", AMQPPath(tenant), nil)
	require.NotEmpty(c.t, issued.Password)
	return issued
}

// Dial connects to the broker with the credentials, as one who has nothing but the
// answer of the service.
func (a *AMQPCredentials) Dial() (*amqp.Connection, error) {
	user := url.UserPassword(a.Username, a.Password).String()
	return amqp.DialConfig(strings.Replace(a.URL, "://", "://"+user+"@", 1), amqp.Config{Vhost: a.VHost}) //nolint:wrapcheck // as the broker says it
}
