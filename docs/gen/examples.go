package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Ids that examples have. There is nothing with them: who tries an example puts in
// those that there are.
const (
	exampleTenant   = "0197a3a2-7d2c-7c3e-8f7e-0242ac120002"
	exampleMessage  = "0197a3a3-11d2-7a51-9a3e-0242ac120003"
	exampleEndpoint = "0197a3a2-7d2c-7c3e-8f7e-0242ac120004"
	exampleKey      = "0197a3a2-7d2c-7c3e-8f7e-0242ac120005"
	exampleJob      = "0197a3a3-11d2-7a51-9a3e-0242ac120006"
	exampleReplay   = "0197a3a3-11d2-7a51-9a3e-0242ac12000a"
	exampleUser     = "0197a3a2-0000-7000-8000-000000000001"
)

// parameterExamples are by the name of the parameter, and by operation and name where
// that is not enough. A comment may have another one: example(...).
func parameterExamples() map[string]any {
	return map[string]any{
		"error":       "status 503",
		"X-Tenant-ID": exampleTenant, "tenant_id": exampleTenant, "endpoint_id": exampleEndpoint, "key_id": exampleKey, "replay_id": exampleReplay,
		"external_id": "warehouse", "upsertTenant external_id": "customer-4711", "listTenants external_id": "customer-4711", "message_id": "order-1842", "cursor": "0", "limit": 50, "replayed": false, "reason": "delivery_failed", "order": "asc", "format": "json",
		"from": "2026-11-01T00:00:00Z", "to": "2026-12-01T00:00:00Z", "listUsage from": "2026-11-01", "listUsage to": "2026-11-30",
		"Idempotency-Key": "order-1842", "createTenant Idempotency-Key": "tenant-acme", "createEndpoint Idempotency-Key": "endpoint-warehouse", "envelope": false, "Last-Event-ID": "0", "ticket": "q3Jp0wX1c8mT5vYbKzR7uE2nLhG9aSdF4iQoW6xPyZk",
		"q": "acme", "state": "waits", "sort": "backlog", "replica": "host-1c2d3e4f", "actor": exampleUser, "action": "endpoint.", "listTenants status": "active", "status": "failed",
	}
}

// idExample returns what {id} stands for in a path.
func idExample(path string) (any, bool) {
	for _, e := range []struct {
		beginning string
		value     any
	}{
		{"/tenants/", exampleTenant},
		{"/overview/tenants/", exampleTenant},
		{"/messages/", exampleMessage},
		{"/users/", exampleUser},
		{"/dead-letters/jobs/", exampleJob},
		{"/dead-letters/", 17},
	} {
		if strings.HasPrefix(path, e.beginning) {
			return e.value, true
		}
	}
	return nil, false
}

// exemplifyParameters gives each parameter an example.
func exemplifyParameters(path string, operation *openapi3.Operation) error {
	byName := parameterExamples()
	for _, ref := range operation.Parameters {
		p := ref.Value
		said, ok := p.Extensions["example"]
		delete(p.Extensions, "example")
		if !ok {
			said, ok = byName[operation.OperationID+" "+p.Name]
		}
		if !ok {
			said, ok = byName[p.Name]
		}
		if !ok && p.Name == "id" {
			said, ok = idExample(path)
		}
		if !ok {
			return fmt.Errorf("the parameter %s has no example: give its comment one, or parameterExamples", p.Name)
		}
		p.Example = said
	}
	return nil
}

// bodyExamples are by operation. Where there is none, a body has the examples of all
// its members.
func bodyExamples() map[string]string {
	return map[string]string{ //nolint:gosec // passwords of nobody
		"login":                `{"email":"ada@example.com","password":"gravel mumble tax orbit"}`,
		"changePassword":       `{"current":"gravel mumble tax orbit","new":"plum otter 91 lantern sky"}`,
		"createUser":           `{"name":"Ada Lovelace","email":"ada@example.com","password":"gravel mumble tax orbit","role":"member"}`,
		"updateUser":           `{"name":"Ada King","role":"viewer","limits":{"tenants":50}}`,
		"createApiKey":         `{"name":"shop backend","scopes":["publish","read","provision"]}`,
		"createTenantApiKey":   `{"name":"shop backend","scopes":["publish","read"],"expires_at":"2099-11-21T10:00:00Z"}`,
		"createPortalLink":     `{"ttl":"1h","scopes":["read"]}`,
		"createTenant":         `{"name":"Acme","description":"Orders of Acme","workers":3}`,
		"upsertTenant":         `{"name":"Acme","description":"Orders of Acme","metadata":{"plan":"pro"}}`,
		"updateTenant":         `{"name":"Acme Ltd","description":"Orders of Acme Ltd","retention_days":30}`,
		"setWorkers":           `{"workers":5}`,
		"createEndpoint":       `{"url":"https://example.com/hooks/orders","description":"Orders for the warehouse","types":["order.*"]}`,
		"upsertEndpoint":       `{"url":"https://example.com/hooks/orders","description":"Orders for the warehouse","ordering":"key"}`,
		"updateEndpoint":       `{"description":"Orders and invoices","types":["order.*","invoice.*"],"rate":100}`,
		"rotateEndpointSecret": `{"grace":"24h"}`,
		"startReplay":          `{"from_seq":1,"only":"all","rate":100}`,
		"publishMessage":       `{"payload":{"text":"hello"},"type":"order.created","ordering_key":"order-1842","headers":{"source":"shop"}}`,
		"publishMessages":      `{"messages":[{"payload":{"text":"one"},"type":"order.created"},{"payload":{"text":"two"},"idempotency_key":"order-1843"}]}`,
		"replayDeadLetters":    `{"all":true}`,
		"purgeDeadLetters":     `{"all":true}`,
	}
}

// refineRequest gives bodies an example, and describes those with one JSON document a
// line.
func refineRequest(operation *openapi3.Operation) error {
	if operation.RequestBody == nil {
		return nil
	}
	body := operation.RequestBody.Value
	delete(body.Extensions, "x-originalParamName")
	if body.Content[jsonType] == nil {
		return fmt.Errorf("its body is none of %s", jsonType)
	}
	if text, ok := bodyExamples()[operation.OperationID]; ok {
		var example any
		if err := json.Unmarshal([]byte(text), &example); err != nil {
			return fmt.Errorf("its example: %w", err)
		}
		body.Content[jsonType].Example = example
	}
	if body.Content[ndjsonType] != nil {
		lines := openapi3.NewStringSchema()
		lines.Description = "One payload a line; with `envelope=true` one message a line, such as `{\"payload\":{\"text\":\"one\"},\"type\":\"order.created\"}`"
		body.Content[ndjsonType] = openapi3.NewMediaType().WithSchema(lines).WithExample("lines", "{\"text\":\"one\"}\n{\"text\":\"two\"}\n")
	}
	return nil
}
