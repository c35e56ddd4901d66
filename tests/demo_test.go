package tests

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/pkg/client"
	"lanekeeper/tests/apptest"
)

// demoTenants returns the tenants of the demo, by name.
func demoTenants(t *testing.T, cl *client.Client) map[string]client.Tenant {
	t.Helper()
	found := make(map[string]client.Tenant)
	for tenant, err := range cl.Tenants.List(t.Context(), client.ListTenants{Metadata: map[string]string{"made-by": "lanekeeper demo"}}) {
		require.NoError(t, err)
		found[tenant.Name] = tenant
	}
	return found
}

// The demo has messages stored, delivered, failing and given up, as it says; Ctrl-C takes
// all of it away, and so does the next demo with what one left that was killed.
func TestDemo(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	own := app.CreateTenant("not of the demo", 0).ID
	cl, err := client.New(app.URL())
	require.NoError(t, err)
	t.Cleanup(cl.Close)

	killed := apptest.StartCommand(t, app.URL(), nil, nil, "demo", "--rate", "50")
	apptest.Await(t, apptest.Long, func() error {
		if n := len(demoTenants(t, cl)); n != 3 {
			return apptest.NotYet("%d tenants", n)
		}
		return nil
	})
	left := demoTenants(t, cl)
	killed.Signal(os.Kill)
	killed.Wait()
	require.Equal(t, left, demoTenants(t, cl), "nobody takes them away yet")

	demo := apptest.StartCommand(t, app.URL(), nil, nil, "demo", "--rate", "200")
	attempts := func(tenant client.Tenant, externalID, status string) error {
		endpoints, err := cl.ForTenant(tenant.ID).Endpoints.List(t.Context())
		if err != nil {
			return err //nolint:wrapcheck // of the test
		}
		for i := range endpoints {
			if e := &endpoints[i]; *e.ExternalID == externalID {
				for _, err := range cl.ForTenant(tenant.ID).Endpoints.Attempts(t.Context(), e.ID, client.AttemptOptions{Status: status}) {
					return err
				}
			}
		}
		return apptest.NotYet("no attempt at %s that %s", externalID, status)
	}
	apptest.Await(t, apptest.Long, func() error {
		now := demoTenants(t, cl)
		if len(now) != 3 || now["Demo Bakery"].ID == left["Demo Bakery"].ID || now["Demo Bicycles"].ID == left["Demo Bicycles"].ID {
			return apptest.NotYet("%d tenants", len(now))
		}
		bookshop, bakery, bicycles := now["Demo Bookshop"], now["Demo Bakery"], now["Demo Bicycles"]
		for _, one := range []struct {
			tenant               client.Tenant
			externalID, attempts string
		}{
			{bookshop, "warehouse", "succeeded"}, {bookshop, "accounting", "failed"}, {bakery, "van", "failed"}, {bakery, "van", "succeeded"}, {bicycles, "workshop", "succeeded"},
		} {
			if err := attempts(one.tenant, one.externalID, one.attempts); err != nil {
				return err
			}
		}
		letters, err := cl.ForTenant(bookshop.ID).DeadLetters.Groups(t.Context(), client.ListDeadLetters{})
		if err != nil {
			return err
		}
		if letters.Counted < 3 {
			return apptest.NotYet("%d dead letters", letters.Counted)
		}
		require.Equal(t, "delivery_failed", letters.Data[0].Reason)
		return nil
	})
	demo.Signal(os.Interrupt)
	got := demo.Wait()
	require.Zero(t, got.Status, got.Err)
	require.Contains(t, got.Out, app.URL()+"/console/\n")
	require.Contains(t, got.Out, "Demo Bookshop")
	require.Regexp(t, `published [\d,]+  stored [\d,]*[1-9][\d,]*  delivered [\d,]*[1-9][\d,]*  failed [\d,]*[1-9][\d,]*  dead letters [\d,]*[1-9]`, got.Out)
	require.True(t, strings.HasSuffix(got.Out, "The tenants of the demo are deleted.\n"), got.Out)
	require.Empty(t, demoTenants(t, cl))
	_, err = cl.Tenants.Get(t.Context(), own)
	require.NoError(t, err)
}

// On a terminal it is one line, which is gone at the end; it ends by itself when it is
// told for how long.
func TestDemoOnTerminal(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t, apptest.Delivering())
	got := apptest.OnTerminal(t, app.URL(), 120, "", nil, "demo", "--duration", "4s", "--rate", "20")
	require.Zero(t, got.Status, got.Out)
	require.Regexp(t, `\r\d+s  published \d+  stored \d+  delivered \d+`, got.Out)
	require.True(t, strings.HasSuffix(got.Out, "The tenants of the demo are deleted.\r\n"), got.Out)
}

// A service that does not deliver to this machine is told what it lacks, and nothing is
// left behind.
func TestDemoWithoutDeliveries(t *testing.T) {
	t.Parallel()
	app := apptest.Boot(t)
	got := apptest.RunCommand(t, app.URL(), nil, "demo")
	require.Equal(t, 1, got.Status)
	require.Contains(t, got.Err, "DELIVERY_ALLOW_PRIVATE=true")
	cl, err := client.New(app.URL())
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	require.Empty(t, demoTenants(t, cl))

	nobody := apptest.RunCommand(t, "http://127.0.0.1:1", nil, "demo")
	require.Equal(t, 1, nobody.Status)
	require.Contains(t, nobody.Err, "cannot be reached")
}
