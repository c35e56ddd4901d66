// Package acks acknowledges the deliveries of a channel with as few frames as
// possible. A Batcher belongs to the goroutine that has the subscription; nothing
// here starts one.
package acks
