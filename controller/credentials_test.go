package controller

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

func TestAMQPCredentials(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	path := "/api/tenants/" + otherID.String() + "/amqp-credentials"

	got := a.do("POST", path, "")
	require.Equal(t, http.StatusCreated, got.status, got.body)
	var issued model.AMQPCredentials
	require.NoError(t, json.Unmarshal([]byte(got.body), &issued))
	require.Equal(t, model.AMQPCredentials{
		TenantID: otherID.String(), URL: "amqp://broker:5672/%2F", VHost: "/", Username: "user", Password: "shown once",
		Exchange: "exchange", IssuedAt: someTime, CreatedAt: someTime,
	}, issued)
	require.Equal(t, otherID, a.fakes.keyTenant)
	require.Equal(t, "no-store", got.header.Get("Cache-Control"))

	got = a.do("GET", path, "")
	require.Equal(t, http.StatusOK, got.status)
	require.NotContains(t, got.body, "password")
	require.Equal(t, http.StatusNoContent, a.do("DELETE", path, "").status)
	require.NotContains(t, a.logs.String(), "shown once")

	a.problem(a.do("POST", "/api/tenants/x/amqp-credentials", ""), http.StatusBadRequest, "invalid_id")
	a.fakes.err = domain.AMQPNotConfigured(nil)
	for _, method := range []string{"POST", "GET", "DELETE"} {
		a.problem(a.do(method, path, ""), http.StatusConflict, "amqp_not_configured")
	}
	a.fakes.err = domain.AMQPNotFound()
	a.problem(a.do("GET", path, ""), http.StatusNotFound, "amqp_credentials_not_found")
}
