// Package shares divides something that is limited, such as connections, memory
// or turns, between those who use it, so that none of them can take it all from
// the others. It only counts; it is safe for concurrent use.
//
// An owner has users, such as a customer and its tenants, and each of both has a
// share of what there is at most. Who needs a part
//
//   - waits for it with Take: parts that become free go to the owners who wait in
//     turn, and to the users of an owner in turn;
//   - or goes without it when TryTake finds none, and gets less than it asked for
//     where that is more than its share;
//   - or counts for itself, in pieces, with Reserve and Release.
//
// A share of 1 per owner is a mutex for each of them. Nothing here starts a
// goroutine, and nothing waits while the mutex is held.
package shares
