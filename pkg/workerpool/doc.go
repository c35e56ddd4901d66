// Package workerpool runs a number of workers, which can be changed at any time,
// over one channel of items.
//
// A worker takes what the channel has buffered, up to a limit, and handles it as
// one chunk:
//
//	idle --item--> busy --handled--> idle
//	idle --surplus, stopped or channel closed--> ended
//
// So growing takes effect at once, and shrinking or stopping once the chunks in
// hand are through: no item is dropped or handled twice.
//
// The Pool owns the workers' goroutines: Resize starts and ends them, Stop ends
// all, and Wait waits for them. Only the sender closes the channel.
package workerpool
