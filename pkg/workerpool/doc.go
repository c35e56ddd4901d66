// Package workerpool runs a number of workers, which can be changed at any time,
// over one channel of items.
//
// The Pool owns the workers' goroutines: Resize starts and ends them, Stop ends
// all, and Wait waits for them. Whoever sends closes the channel.
package workerpool
