package controller

import (
	"net/http"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"lanekeeper/model"
)

func TestAPIKeys(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for path, tenant := range map[string]uuid.UUID{"/api/api-keys": uuid.Nil, "/api/tenants/" + tenantID.String() + "/api-keys": tenantID} {
		got := a.do("POST", path, `{"name":"shop","scopes":["publish","read"],"expires_at":"2099-01-01T00:00:00Z"}`)
		require.Equal(t, http.StatusCreated, got.status, got.body)
		require.Equal(t, "no-store", got.header.Get("Cache-Control"))
		require.Equal(t, "lk_text", decodeReply[model.APIKey](t, got).Key)
		require.Equal(t, tenant, a.fakes.keyTenant)
		require.Equal(t, []string{"publish", "read"}, a.fakes.newKey.Scopes)
		require.Equal(t, "2099-01-01T00:00:00Z", *a.fakes.newKey.ExpiresAt)

		got = a.do("GET", path, "")
		require.Equal(t, http.StatusOK, got.status)
		require.NotContains(t, got.body, `"key"`)
		require.NotContains(t, got.body, "hash")
		require.Equal(t, keyID.String(), decodeReply[model.APIKeyList](t, got).Data[0].ID)

		got = a.do("DELETE", path+"/"+keyID.String(), "")
		require.Equal(t, http.StatusNoContent, got.status)
		require.Equal(t, keyID, a.fakes.revoked)
		require.Equal(t, tenant, a.fakes.keyTenant)
		a.problem(a.do("DELETE", path+"/nonsense", ""), http.StatusBadRequest, "invalid_id")

		a.do("POST", path, `{"name":"shop","scopes":["read"],"expires_at":null}`)
		require.Nil(t, a.fakes.newKey.ExpiresAt)
		for _, body := range []string{`{"name":"shop","scopes":"read"}`, `{"name":"shop","scopes":[1]}`, `{"name":"shop","scopes":["read"],"expires_at":1}`, `{"name":"shop"}`, `[]`} {
			a.problem(a.do("POST", path, body), http.StatusUnprocessableEntity, "invalid_fields")
		}
	}
	a.problem(a.do("GET", "/api/tenants/x/api-keys", ""), http.StatusBadRequest, "invalid_id")
}

// What a caller by key did is found in the log, by the id of the key.
func TestLogOfAPIKeys(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.do("GET", "/api/tenants", "", "Authorization: read")
	require.Contains(t, a.logs.String(), `"key_id":"`+keyID.String()+`"`)
	a.do("GET", "/api/tenants/lk_0123456789", "")
	require.NotContains(t, a.logs.String(), "lk_0123456789")
}
