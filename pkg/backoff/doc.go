// Package backoff says how long to wait between attempts at something that
// fails, and waits.
//
//   - Backoff has the growing, jittered pauses between the attempts at one thing.
//   - Retry is the loop around an attempt, for callers that do nothing else
//     meanwhile; those that also listen to channels wait for Backoff.Next.
//   - Sleep waits until ctx ends at the latest.
//   - Jitter spreads what many do at regular intervals.
//
// Nothing here starts a goroutine.
package backoff
