// Package workerpool runs a number of workers, which can be changed at any time,
// over a queue of items.
//
// A worker takes what waits, up to a limit, and handles it as one chunk:
//
//	none --item, and fewer than there may be--> busy --handled, and something waits--> busy
//	busy --handled, and nothing waits, or it is surplus, or stopped--> none
//
// So growing takes effect at once, and shrinking or stopping once the chunks in
// hand are through: no item is dropped before that, or handled twice. A worker
// decides to end under the lock under which items are put, so none waits with
// nobody to take it.
//
// The Pool owns the workers' goroutines: Put and Resize start them, Stop ends all,
// and Wait waits for them. A pool with nothing to do has none.
package workerpool
