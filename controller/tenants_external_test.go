package controller

import (
	"cmp"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/domain"
	"lanekeeper/model"
)

const odd = "a+b/c ü%2F"

// oddInPath is odd as it stands in paths, where a plus is a plus.
const oddInPath = "a+b%2Fc%20%C3%BC%252F"

func TestPutTenant(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.fakes.tenant.ExternalID, a.fakes.tenant.Metadata = odd, map[string]string{"plan": "pro"}
	path := "/api/tenants/by-external-id/" + oddInPath
	got := a.do("PUT", path, `{"name":"Acme","workers":7,"metadata":{"plan":"pro","no":null}}`)
	require.Equal(t, http.StatusOK, got.status)
	require.Empty(t, got.header.Get("Location"))
	tenant := decodeReply[model.Tenant](t, got)
	require.Equal(t, odd, *tenant.ExternalID)
	require.Equal(t, map[string]string{"plan": "pro"}, tenant.Metadata)
	require.Equal(t, odd, a.fakes.externalID)
	metadata := domain.SetTo(map[string]*string{"plan": new("pro"), "no": nil})
	require.Equal(t, domain.NewTenant{Name: "Acme", Workers: new(7), Metadata: metadata}, a.fakes.newTenant)
	require.Equal(t, domain.TenantChange{Name: new("Acme"), Metadata: metadata, AllMetadata: true}, a.fakes.tenantChange)

	a.fakes.made = true
	got = a.do("PUT", path, `{"name":"Acme"}`)
	require.Equal(t, http.StatusCreated, got.status)
	require.Equal(t, "/api/tenants/"+tenantID.String(), got.header.Get("Location"))
	a.fakes.tenant.Status = domain.TenantProvisioning
	require.Equal(t, http.StatusAccepted, a.do("PUT", path, `{"name":"Acme"}`).status)

	for _, body := range []string{
		`{"name":"a","external_id":1}`, `{"name":"a","external_id":"\ud800"}`, `{"name":"a","metadata":[]}`, `{"name":"a","metadata":{"a":1}}`,
		`{"name":"a","metadata":{"a":"1","a":"2"}}`, `{"name":"a","metadata":{"a":"\ud800"}}`,
	} {
		for _, c := range [][2]string{{"POST", "/api/tenants"}, {"PUT", path}, {"PATCH", "/api/tenants/" + tenantID.String()}} {
			a.problem(a.do(c[0], c[1], body), http.StatusUnprocessableEntity, "invalid_fields")
		}
	}
}

func TestListTenantsByExternalIDAndMetadata(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.do("GET", "/api/tenants?external_id=a%2Bb&metadata.plan=pro&metadata.a.b=%C3%BC", "")
	require.Equal(t, "a+b", a.fakes.tenantQuery.ExternalID)
	require.Equal(t, map[string]string{"plan": "pro", "a.b": "ü"}, a.fakes.tenantQuery.Metadata)
	for _, query := range []string{"external_id=", "external_id=%00", "metadata.=x", "metadata.a=%00", "metadata.a=1&metadata.a=2", "metadata.a=" + strings.Repeat("x", 501)} {
		a.problem(a.do("GET", "/api/tenants?"+query, ""), http.StatusBadRequest, "invalid_query")
	}
}

// Every route that takes the id of a tenant takes ext: and its external id, and whoever
// may not access the tenant is told what is said of one that does not exist.
func TestTenantsByExternalIDEverywhere(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.fakes.tenant.ExternalID = odd
	taken := 0
	for _, r := range routes(&Options{}) {
		name := r.method + " " + r.path
		asked := r.tenantInPath()
		if asked == "" && r.tenant == noTenant || r.path == "/messages/stream" {
			continue
		}
		taken++
		send := func(inPath, inHeader, caller string) reply {
			headers := []string{"Authorization: " + caller}
			path := apiPrefix + r.path
			if asked != "" {
				path = strings.ReplaceAll(path, "{"+asked+"}", inPath)
			} else {
				headers = append(headers, "X-Tenant-ID: "+inHeader)
			}
			path = strings.NewReplacer("{id}", cmp.Or(pathIDs[r.path], otherID.String()), "{endpoint_id}", endpointID.String(),
				"{replay_id}", otherID.String(), "{key_id}", keyID.String(), "{external_id}", "erp").Replace(path)
			return a.do(r.method, path, bodies[name], headers...)
		}
		for _, inPath := range []string{"ext:" + oddInPath, "ext%3A" + strings.ReplaceAll(oddInPath, "+", "%2B")} {
			got := send(inPath, "ext:"+odd, "admin")
			require.Less(t, got.status, 300, "%s: %s", name, got.body)
		}
		a.problem(send("ext:a%20b", "ext:a b", "admin"), http.StatusNotFound, "tenant_not_found")
		a.problem(send("ext:", "ext:", "admin"), http.StatusBadRequest, "invalid_id")
	}
	require.Greater(t, taken, 30)
	for _, path := range []string{"/api/usage", "/api/audit", "/api/messages"} {
		got := a.do("GET", path+"?tenant_id=ext:a%2Bb/c%20%C3%BC%252F", "")
		require.Equal(t, http.StatusOK, got.status, got.body)
		a.problem(a.do("GET", path+"?tenant_id=ext:x", ""), http.StatusNotFound, "tenant_not_found")
		a.problem(a.do("GET", path+"?tenant_id=ext:", ""), http.StatusBadRequest, "invalid_id")
	}
	same := "?tenant_id=" + tenantID.String()
	require.Equal(t, http.StatusOK, a.do("GET", "/api/messages"+same, "", "X-Tenant-ID: ext:"+odd).status)
	a.problem(a.do("GET", "/api/messages"+same, "", "X-Tenant-ID: ext:x"), http.StatusBadRequest, "tenant_mismatch")
	a.problem(a.do("GET", "/api/messages?tenant_id="+otherID.String(), "", "X-Tenant-ID: ext:"+odd), http.StatusBadRequest, "tenant_mismatch")
}
