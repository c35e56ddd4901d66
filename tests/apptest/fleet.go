package apptest

import (
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// ConsumerStatus is a tenant's consumer as the service answers it.
type ConsumerStatus struct {
	TenantID    string `json:"tenant_id"`
	State       string `json:"state"`
	Stopped     bool   `json:"stopped"`
	Workers     int    `json:"workers"`
	QueueDepth  *int64 `json:"queue_depth"`
	ConsumerTag string `json:"consumer_tag"`
	Replica     string `json:"replica"`
}

// Consumer returns a tenant's consumer.
func (c *Client) Consumer(tenant string) ConsumerStatus {
	c.t.Helper()
	var s ConsumerStatus
	c.Want(http.StatusOK, &s, "GET", "/api/consumers/"+tenant, nil)
	return s
}

// Consumers returns the consumers of all tenants, by tenant.
func (c *Client) Consumers() map[string]ConsumerStatus {
	c.t.Helper()
	var page struct {
		Data       []ConsumerStatus `json:"data"`
		NextCursor string           `json:"next_cursor"`
	}
	c.Want(http.StatusOK, &page, "GET", "/api/consumers?limit=1000", nil)
	require.Empty(c.t, page.NextCursor)
	all := make(map[string]ConsumerStatus, len(page.Data))
	for _, s := range page.Data {
		all[s.TenantID] = s
	}
	return all
}

// BootFleet starts n instances on the same servers.
func BootFleet(t testing.TB, n int, options ...Option) []*App {
	t.Helper()
	fleet := make([]*App, n)
	for i := range fleet {
		if i > 0 {
			options = append(slices.Clip(options), On(fleet[0].Config.Database.URL, fleet[0].Config.RabbitMQ.URL))
		}
		fleet[i] = Boot(t, options...)
	}
	return fleet
}

// Owner waits until one instance of a fleet consumes a tenant's queue, and
// returns it and the others.
func Owner(t testing.TB, fleet []*App, tenant string) (owner *App, others []*App) {
	t.Helper()
	Await(t, Long, func() error {
		owner, others = nil, nil
		for _, app := range fleet {
			if app.stop != nil && app.Metrics().Has("lanekeeper_workers", "tenant_id", tenant) {
				if owner != nil {
					return NotYet("one consumer")
				}
				owner = app
				continue
			}
			others = append(others, app)
		}
		if owner == nil {
			return NotYet("a consumer")
		}
		if q := owner.Queue(QueueName(tenant)); q.Consumers != 1 {
			return NotYet("one consumer: %+v", q)
		}
		return nil
	})
	return owner, others
}
