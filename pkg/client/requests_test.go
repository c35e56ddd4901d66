package client_test

import (
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/client"
)

// What is asked for, as it is sent.
func TestRequests(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 21, 10, 0, 0, 500, time.UTC)
	filter := client.DeadLetterFilter{Reason: "delivery_failed", EndpointID: "e1", From: at, To: at.Add(time.Hour)}
	drain := func(t *testing.T, err error) { require.NoError(t, err) }
	for want, call := range map[string]func(t *testing.T, c *client.Client){
		`PUT /api/tenants/by-external-id/a%2Fb%20%3F {"name":"A","metadata":{"plan":"pro"}}`: func(t *testing.T, c *client.Client) {
			tenant, created, err := c.Tenants.PutByExternalID(t.Context(), "a/b ?", client.PutTenant{Name: "A", Metadata: map[string]string{"plan": "pro"}})
			drain(t, err)
			require.True(t, created)
			require.Equal(t, "i1", tenant.ID)
		},
		`GET /api/tenants?external_id=a%2Fb&limit=7&metadata.plan=pro&status=active `: func(t *testing.T, c *client.Client) {
			for _, err := range c.Tenants.List(t.Context(), client.ListTenants{Status: "active", ExternalID: "a/b", Metadata: map[string]string{"plan": "pro"}, PageSize: 7}) {
				drain(t, err)
			}
		},
		`GET /api/overview `: func(t *testing.T, c *client.Client) {
			_, err := c.Overviews.Get(t.Context())
			drain(t, err)
		},
		`GET /api/overview/tenants?limit=7&q=a+b&sort=backlog&state=waits `: func(t *testing.T, c *client.Client) {
			for _, err := range c.Overviews.Tenants(t.Context(), client.ListTenantOverviews{Search: "a b", State: "waits", Sort: "backlog", PageSize: 7}) {
				drain(t, err)
			}
		},
		`GET /api/overview/tenants/ext:a%2Fb `: func(t *testing.T, c *client.Client) {
			_, err := c.Overviews.Tenant(t.Context(), "ext:a/b")
			drain(t, err)
		},
		`GET /api/fleet `: func(t *testing.T, c *client.Client) {
			_, err := c.Overviews.Fleet(t.Context())
			drain(t, err)
		},
		`GET /api/fleet/host%2F1/tenants `: func(t *testing.T, c *client.Client) {
			for _, err := range c.Overviews.OfReplica(t.Context(), "host/1") {
				drain(t, err)
			}
		},
		`PATCH /api/tenants/ext:acme {"name":"B","metadata":{"plan":null}}`: func(t *testing.T, c *client.Client) {
			_, err := c.Tenants.Change(t.Context(), "ext:acme", client.ChangeTenant{Name: new("B"), Metadata: map[string]*string{"plan": nil}})
			drain(t, err)
		},
		`PATCH /api/tenants/i1 {"retention_days":0}`: func(t *testing.T, c *client.Client) {
			_, err := c.Tenants.Change(t.Context(), "i1", client.ChangeTenant{RetentionDays: new(0)})
			drain(t, err)
		},
		`GET /api/dead-letters?cursor=9&endpoint_id=e1&from=2026-11-21T10%3A00%3A00.0000005Z&limit=3&reason=delivery_failed&replayed=true&to=2026-11-21T11%3A00%3A00.0000005Z `: func(t *testing.T, c *client.Client) {
			for _, err := range c.DeadLetters.List(t.Context(), client.ListDeadLetters{DeadLetterFilter: filter, Replayed: true, Cursor: "9", PageSize: 3}) {
				drain(t, err)
			}
		},
		`DELETE /api/dead-letters {"filter":{"reason":"delivery_failed","endpoint_id":"e1","from":"2026-11-21T10:00:00.0000005Z","to":"2026-11-21T11:00:00.0000005Z"}}`: func(t *testing.T, c *client.Client) {
			_, err := c.DeadLetters.Purge(t.Context(), client.SelectDeadLetters{Filter: &filter})
			drain(t, err)
		},
		`POST /api/dead-letters/replay {"ids":[1,2]}`: func(t *testing.T, c *client.Client) {
			_, err := c.DeadLetters.Replay(t.Context(), client.SelectDeadLetters{IDs: []int64{1, 2}})
			drain(t, err)
		},
		`POST /api/tenants/t1/endpoints/e1/replay {"from_seq":5,"from":"2026-11-21T10:00:00.0000005Z","only":"failed","types":["a.*"],"rate":9}`: func(t *testing.T, c *client.Client) {
			_, err := c.Endpoints.Replay(t.Context(), "e1", client.ReplayRange{FromSeq: 5, From: at, Only: "failed", Types: []string{"a.*"}, Rate: 9})
			drain(t, err)
		},
		`POST /api/tenants/t1/endpoints/e1/rotate-secret {"grace":"0s"}`: func(t *testing.T, c *client.Client) {
			_, err := c.Endpoints.RotateSecret(t.Context(), "e1", 0, "")
			drain(t, err)
		},
		`PATCH /api/tenants/t1/endpoints/e1 {"types":null,"rate":3,"headers":{"x-a":null}}`: func(t *testing.T, c *client.Client) {
			_, err := c.Endpoints.Change(t.Context(), "e1", client.ChangeEndpoint{
				Types: client.Default[[]string](), Rate: client.Set(3), Headers: client.Set(map[string]*string{"x-a": nil}),
			})
			drain(t, err)
		},
		`GET /api/audit?action=endpoint.&actor=u1&limit=2&tenant_id=t2 `: func(t *testing.T, c *client.Client) {
			for _, err := range c.Audit(t.Context(), client.AuditOptions{TenantID: "t2", Actor: "u1", Action: "endpoint.", PageSize: 2}) {
				drain(t, err)
			}
		},
		`GET /api/usage?from=2026-11-01&tenant_id=t2&to=2026-11-30 `: func(t *testing.T, c *client.Client) {
			for _, err := range c.Usage(t.Context(), client.UsageOptions{From: "2026-11-01", To: "2026-11-30", TenantID: "t2"}) {
				drain(t, err)
			}
		},
		`GET /api/messages?cursor=90&limit=5&order=desc `: func(t *testing.T, c *client.Client) {
			for _, err := range c.History(t.Context(), client.HistoryOptions{Descending: true, Before: 90, After: 7, Limit: 5, Follow: true}) {
				drain(t, err)
			}
		},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			var got []string
			inTime(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				if n := len(body); n > 0 && body[n-1] == '\n' {
					body = body[:n-1]
				}
				got = append(got, r.Method+" "+r.RequestURI+" "+string(body))
				say(w, http.StatusCreated, `{"id":"i1"}`)
			}, func(t *testing.T, w *world) { call(t, w.client) })
			require.Equal(t, []string{want}, got)
		})
	}
}

// Whoever asks how the service is wants to know it now, and also what it says.
func TestReadyThatIsNot(t *testing.T) {
	t.Parallel()
	var c calls
	inTime(t, func(w http.ResponseWriter, r *http.Request) {
		if c.next(r); r.URL.Path != "/readyz" {
			t.Error(r.URL.Path)
		}
		say(w, http.StatusServiceUnavailable, `{"status":"draining","details":{"broker":"ok"}}`)
	}, func(t *testing.T, w *world) {
		health, err := w.client.Ready(t.Context())
		require.EqualError(t, err, "the service is draining (HTTP 503)")
		require.Equal(t, client.Health{Status: "draining", Details: map[string]string{"broker": "ok"}}, *health)
		require.Len(t, c.seen(), 1)
	})
}

// What cannot be sent is said at once, without showing it.
func TestWhatCannotBeSent(t *testing.T) {
	t.Parallel()
	var c calls
	serve := func(w http.ResponseWriter, r *http.Request) {
		c.next(r)
		if r.Header.Get("Authorization") != "Bearer abc" {
			t.Error(r.Header.Get("Authorization"))
		}
		say(w, http.StatusOK, `{}`)
	}
	inTime(t, serve, func(t *testing.T, w *world) {
		_, err := w.client.Me(t.Context())
		require.NoError(t, err)
		_, err = w.client.ForTenant("t\n1").PublishValue(t.Context(), 1)
		require.ErrorContains(t, err, "tenant")
		_, err = w.client.Publish(t.Context(), client.NewMessage{Payload: []byte("1"), IdempotencyKey: "\x00"})
		require.ErrorContains(t, err, "key")
		require.Zero(t, w.since())
		require.Len(t, c.seen(), 1)
	}, client.WithToken(" Bearer abc\n"))
	inTime(t, serve, func(t *testing.T, w *world) {
		_, err := w.client.Me(t.Context())
		require.ErrorContains(t, err, "token")
		require.NotContains(t, err.Error(), "a\nb")
		require.Zero(t, w.since())
	}, client.WithKey("a\nb"))
}

// No two messages have one generated key, or the second would not be stored.
func TestGeneratedKeysDiffer(t *testing.T) {
	t.Parallel()
	var c calls
	inTime(t, func(w http.ResponseWriter, r *http.Request) {
		c.next(r)
		say(w, http.StatusAccepted, accepted)
	}, func(t *testing.T, w *world) {
		keys := make(map[string]bool)
		for range 10 {
			receipt, err := w.client.Publish(t.Context(), one())
			require.NoError(t, err)
			keys[receipt.IdempotencyKey] = true
		}
		require.Len(t, keys, 10)
	})
}
