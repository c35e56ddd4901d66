package tests

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"

	"lanekeeper/tests/apptest"
)

// keyText is an encryption key as it is configured.
func keyText(b byte) string { return strings.Repeat(fmt.Sprintf("%02x", b), 32) }

// verifies reports whether one of the signatures of a request is by this secret, in
// the eyes of the library that receivers use.
func verifies(t *testing.T, got *apptest.Received, secret string) bool {
	t.Helper()
	hook, err := standardwebhooks.NewWebhook(secret)
	require.NoError(t, err)
	return hook.Verify(got.Body, http.Header{"Webhook-Id": {got.ID}, "Webhook-Timestamp": {got.Timestamp}, "Webhook-Signature": {got.Signature}}) == nil
}

// Secrets and headers are in the database in an encrypted form only, with the first of
// several keys; what was encrypted with another one of them can be read, and what
// cannot be decrypted keeps nobody from the rest.
func TestEndpointSecretsAtRest(t *testing.T) {
	t.Parallel()
	received := make(chan http.Header, 100)
	receiver := apptest.NewReceiver(t, func(_ http.ResponseWriter, r *http.Request) { received <- r.Header })
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("tenant", 0).ID
	const token = "a token that nobody may read"
	create := func() apptest.Endpoint {
		return app.CreateEndpoint(tenant, receiver.URL(), map[string]any{"headers": map[string]string{"Token": token}})
	}
	rows := func(e *apptest.Endpoint) string {
		return apptest.QueryRow[string](app.Probes, `SELECT encode(secret, 'escape') || encode(headers, 'escape') || e::text FROM endpoints e WHERE id = $1`, e.ID)
	}
	with := func(keys ...string) {
		app.Stop()
		app.Config.EncryptionKeys = keys
		app.Start()
	}
	test := func(e *apptest.Endpoint) {
		t.Helper()
		app.Want(http.StatusOK, nil, "POST", e.Path()+"/test", nil)
		require.Equal(t, token, (<-received).Get("Token"))
		all := receiver.Received()
		require.True(t, verifies(t, &all[len(all)-1], e.Secret))
	}
	raw := func(e *apptest.Endpoint) string {
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(e.Secret, "whsec_"))
		require.NoError(t, err)
		return fmt.Sprintf("%x", secret)
	}

	before := create()
	require.Contains(t, rows(&before), token)
	require.Contains(t, rows(&before), raw(&before))
	with(keyText(1))
	test(&before)
	sealed := create()
	require.NotContains(t, rows(&sealed), token)
	require.NotContains(t, rows(&sealed), raw(&sealed))
	test(&sealed)
	with(keyText(2), keyText(1))
	test(&before)
	test(&sealed)
	app.ChangeEndpoint(&sealed, map[string]any{"description": "encrypted anew"})
	app.ChangeEndpoint(&before, map[string]any{"description": "encrypted at last"})
	require.NotContains(t, rows(&before), token)
	third := create()
	with(keyText(2))
	for _, e := range []apptest.Endpoint{before, sealed, third} {
		test(&e)
	}

	// The key is gone.
	with(keyText(3))
	fourth := create()
	test(&fourth)
	now := app.Endpoint(&sealed)
	require.Equal(t, "disabled", now.Status)
	require.Contains(t, now.StatusReason, "cannot be decrypted")
	require.Equal(t, "active", app.Endpoint(&fourth).Status)
	message := app.Publish(tenant, `"for those that can be signed for"`)
	apptest.Await(t, apptest.Long, func() error {
		if receiver.Times()[message] != 1 {
			return apptest.NotYet("delivered to the fourth: %v", receiver.Times())
		}
		return nil
	})
	require.Equal(t, token, (<-received).Get("Token"))
	for _, what := range []string{"test", "rotate-secret", "resume"} {
		app.Refused(http.StatusConflict, "endpoint_unreadable", "POST", sealed.Path()+"/"+what, nil)
	}
	app.Refused(http.StatusConflict, "endpoint_unreadable", "PATCH", sealed.Path(), map[string]any{"headers": map[string]string{"Token": token}})
	require.Equal(t, 7, app.ChangeEndpoint(&sealed, map[string]any{"rate": 7}).Rate)
	var list struct{ Data []apptest.Endpoint }
	app.Want(http.StatusOK, &list, "GET", apptest.EndpointsPath(tenant), nil)
	require.Len(t, list.Data, 4)
	app.ChangeEndpoint(&third, map[string]any{"headers": map[string]string{"Token": token}, "secret": third.Secret})
	test(&third)
	with(keyText(3), keyText(2))
	test(&sealed)
	require.Equal(t, "active", app.Endpoint(&sealed).Status)
	awaitLag(t, app.Client, &sealed, 0)
	require.GreaterOrEqual(t, receiver.Times()[message], 2, "it goes on where it stopped")
	for range receiver.Times()[message] - 1 {
		<-received
	}

	// All of it with one key.
	encrypt := func() (string, error) { return app.Command("encrypt") }
	said, err := encrypt()
	require.NoError(t, err)
	require.Equal(t, "2 endpoints encrypted\n", said)
	said, err = encrypt()
	require.NoError(t, err)
	require.Equal(t, "0 endpoints encrypted\n", said)
	with(keyText(3))
	for _, e := range []apptest.Endpoint{before, sealed, third, fourth} {
		test(&e)
	}
	app.Config.EncryptionKeys = []string{keyText(4)}
	_, err = encrypt()
	require.ErrorContains(t, err, "4 endpoints are encrypted with a key that is not among encryption_keys")
	app.Config.EncryptionKeys = nil
	_, err = encrypt()
	require.ErrorContains(t, err, "ENCRYPTION_KEYS")
}

// The secret before signs along until its grace is over.
func TestRotationOfSecrets(t *testing.T) {
	t.Parallel()
	receiver := apptest.NewReceiver(t, apptest.Answering(http.StatusNoContent))
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("tenant", 0).ID
	e := app.CreateEndpoint(tenant, receiver.URL(), nil)
	signed := func() (by []bool) {
		app.Want(http.StatusOK, nil, "POST", e.Path()+"/test", nil)
		all := receiver.Received()
		last := &all[len(all)-1]
		for _, secret := range []string{e.Secret} {
			by = append(by, verifies(t, last, secret))
		}
		return append(by, strings.Contains(last.Signature, " "))
	}
	rotate := func(body any) apptest.Endpoint {
		var now apptest.Endpoint
		app.Want(http.StatusOK, &now, "POST", e.Path()+"/rotate-secret", body)
		return now
	}
	require.Equal(t, []bool{true, false}, signed())
	second := rotate(nil)
	require.NotEqual(t, e.Secret, second.Secret)
	require.WithinDuration(t, time.Now().Add(24*time.Hour), *second.OldSecretUntil, time.Minute)
	require.Equal(t, []bool{true, true}, signed())
	require.Empty(t, app.Endpoint(&e).Secret)

	third := rotate(map[string]string{"grace": "1h"})
	require.Equal(t, []bool{false, true}, signed(), "two secrets at most")
	e.Secret = second.Secret
	require.Equal(t, []bool{true, true}, signed())
	e.Secret = third.Secret
	require.Equal(t, []bool{true, true}, signed())
	own := "whsec_" + strings.Repeat("A", 44)
	require.Equal(t, own, rotate(map[string]string{"grace": "0s", "secret": own}).Secret)
	require.Equal(t, []bool{false, false}, signed())
	e.Secret = own
	require.Equal(t, []bool{true, false}, signed())
}

// A test is sent whatever the endpoint's status is, and leaves nothing behind.
func TestTestsOfEndpoints(t *testing.T) {
	t.Parallel()
	receiver := apptest.NewReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte("short and stout"))
	})
	app := apptest.Boot(t, apptest.Delivering())
	tenant := app.CreateTenant("tenant", 0).ID
	e := app.CreateEndpoint(tenant, receiver.URL(), nil)
	require.Equal(t, "held", app.Tell(&e, "hold").Status)
	var result struct {
		Status *int   `json:"status"`
		Error  string `json:"error"`
		Answer string `json:"answer"`
	}
	app.Want(http.StatusOK, &result, "POST", e.Path()+"/test", nil)
	require.Equal(t, http.StatusTeapot, *result.Status)
	require.Equal(t, "status 418", result.Error)
	require.Equal(t, "short and stout", result.Answer)
	require.Contains(t, string(receiver.Received()[0].Body), "lanekeeper.test")
	require.Equal(t, "held", app.Endpoint(&e).Status)
	require.Equal(t, "active", app.Tell(&e, "resume").Status)
	require.Zero(t, apptest.QueryRow[int](app.Probes, `SELECT (SELECT count(*) FROM deliveries)::int + (SELECT count(*) FROM attempts)::int`))

	app.ChangeEndpoint(&e, map[string]any{"url": "http://127.0.0.1:1/", "timeout_ms": 100})
	app.Want(http.StatusOK, &result, "POST", e.Path()+"/test", nil)
	require.Nil(t, result.Status)
	require.NotEmpty(t, result.Error)
}
