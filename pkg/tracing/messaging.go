package tracing

import (
	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// queueTemplate is what the queues of all tenants are called: spans are named by it,
// because there may be thousands.
const queueTemplate = "tenant_{id}_queue"

// Operations on a queue.
const (
	Publish = "publish"
	Process = "process"
)

// QueueSpanName returns what a span about an operation on a tenant's queue is called.
func QueueSpanName(operation string) string { return operation + " " + queueTemplate }

// QueueAttributes returns what a span says of an operation on the queue of a tenant, by
// OpenTelemetry's semantic conventions for messaging.
func QueueAttributes(operation, tenantID string) []attribute.KeyValue {
	kind := semconv.MessagingOperationTypeSend
	if operation == Process {
		kind = semconv.MessagingOperationTypeProcess
	}
	return []attribute.KeyValue{
		semconv.MessagingSystemRabbitMQ, semconv.MessagingOperationName(operation), kind,
		semconv.MessagingDestinationName("tenant_" + tenantID + "_queue"), semconv.MessagingDestinationTemplate(queueTemplate),
		TenantID.String(tenantID),
	}
}
