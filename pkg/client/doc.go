// Package client is the Go client of Lanekeeper's HTTP API.
//
//	c, err := client.New("http://127.0.0.1:8080", client.WithKey(key), client.WithTenant(id))
//	receipt, err := c.Publish(ctx, client.NewMessage{Payload: json.RawMessage(`{"total":12}`)})
//
// A Client is cheap to copy for another tenant (ForTenant), and every copy uses the
// same connections. Everything here is safe for concurrent use unless it says
// otherwise, and ends with the context that it was called with.
//
//   - Publish, PublishBatch and NewPublisher publish: one message, a list, as many
//     as there are.
//   - History and Stream are sequences of messages in the order of seq: what is
//     stored, and what is stored from now on.
//   - Tenants, Consumers, Endpoints, Keys, TenantKeys, AMQP, Portal, DeadLetters and
//     Users are the resources of the API. What they list are sequences too, which fetch a page
//     when one is needed. The error of a sequence is its last element.
//
// # Errors
//
// An answer that is a refusal is an *Error, with what the problem document (RFC
// 9457) said. Callers decide by its code:
//
//	if errors.Is(err, client.CodeTenantInactive) { ... }
//
// Every other error is one of the connection, of the context, or of the caller.
//
// # Trying again
//
// Calls that are safe to repeat are tried again, with growing, jittered pauses and
// not before Retry-After says, when the connection fails or the answer is 429, 502,
// 503 or 504: for WithRetryFor at most, and no longer than ctx. Reading is safe, and
// so are PUT, DELETE and what is done once however often it is asked for; a call
// with an idempotency key is too. A publication without one is given one, so that
// repeating it never stores a second message. WithoutGeneratedKeys turns that off.
// Other calls are tried again only when they were certainly not carried out: after
// 429, or when there was no connection at all.
//
// # Who owns what
//
// Only a Publisher has goroutines of its own: Close ends them. The goroutines of open
// connections end with Client.Close, or when they were idle for long enough.
package client
