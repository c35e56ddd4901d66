package apptest

import (
	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/client"
)

// API returns the Go client for a tenant, or for "" without one, which calls with the
// token of this one. It ends with the test.
func (c *Client) API(tenant string, options ...client.Option) *client.Client {
	c.t.Helper()
	all := append([]client.Option{client.WithToken(c.token), client.WithTenant(tenant)}, options...)
	api, err := client.New(c.URL(), all...)
	require.NoError(c.t, err)
	c.t.Cleanup(api.Close)
	return api
}
