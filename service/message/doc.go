// Package message publishes messages to tenants' queues, once for each
// idempotency key, and reads tenants' histories.
//
// A call of Publish is a publication, which goes through these steps within 6 s
// in any state of the servers; a message that fails in one of them is answered
// there, and the others go on:
//
//	admit    the tenant accepts messages, its rate and its backlog allow it
//	check    the payload can be stored and read back (pkg/jsonb), keys are sound
//	wait     for the turn that the tenant's rate gives it, half a second at most
//	claim    a fresh id for each key, or the one that an earlier call has had
//	publish  the broker confirms each message
//	review   the tenant was not deleted meanwhile
//	confirm  what was published under a key is recorded
//
// Its types:
//
//   - Service is what callers use. It has no goroutines but those of RunDepths
//     and RunJanitor, which their callers own.
//   - rateLimiters have a token bucket for each tenant, and depths the depths of
//     queues that no consumer reports.
//   - Retention deletes what tenants do not keep any longer, on the goroutine of
//     its Run.
package message
