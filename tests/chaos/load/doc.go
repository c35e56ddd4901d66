// Package load is the clients of the service in the chaos suite.
//
// A Client calls the service as its users do, and notes how long each call took
// and what was answered. A Load is several of them that publish again and again,
// alone and in batches, with and without idempotency keys, and write every
// attempt into the ledger; it owns their goroutines, and Stop waits for them.
// PublishDirectly puts messages on a queue past the service, as any other client
// of the broker may.
//
// A Client is safe for concurrent use, and so is the Send of a Load.
package load
