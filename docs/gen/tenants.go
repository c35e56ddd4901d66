package main

import (
	"net/http"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// refineTenants says of every call that is about a tenant that it may be named by its
// external id as well, and what the answer is where several have that.
func refineTenants(path string, operation *openapi3.Operation) error {
	byName := false
	for _, ref := range operation.Parameters {
		p := ref.Value
		inPath := p.In == openapi3.ParameterInPath && (p.Name == "tenant_id" || p.Name == "id" && strings.Contains(path, "/tenants/{id}"))
		inHeader := p.In == openapi3.ParameterInHeader && p.Name == "X-Tenant-ID"
		inQuery := p.In == openapi3.ParameterInQuery && p.Name == "tenant_id"
		if !inPath && !inHeader && !inQuery {
			continue
		}
		byName = true
		p.Schema.Value.Format = ""
		if p.Description == "Id of the tenant" {
			p.Description = "The tenant"
		}
		p.Description += ": its id (a UUID), or `ext:` and its external id"
	}
	if !byName {
		return nil
	}
	return addProblems(operation, http.StatusConflict)
}
