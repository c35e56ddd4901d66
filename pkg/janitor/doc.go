// Package janitor deletes what is old, again and again.
//
// Run is the loop of one such job, on the goroutine of its caller: a round, then
// a pause. Within a round Sweep, or SweepPast where what is old belongs to many
// who must not wait for each other, deletes in chunks, so that no statement holds
// locks for long. Any number of processes may sweep the same things, as long as
// the statements skip what others have locked.
package janitor
