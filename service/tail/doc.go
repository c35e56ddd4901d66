// Package tail keeps what was stored last in memory, for those who read it a
// moment later: the streams of a tenant, and what delivers to its endpoints.
//
// Postgres is the truth. A tenant with readers has a window: rows by their seq,
// the newest of its history, with gaps where rows are not known. Who reads says
// where it is, and gets what directly follows from memory, or is told that the
// database knows more, or that there is nothing and when to look again. So the
// window may leave out anything and at any time; what it must never do is to say
// that nothing follows where something does.
//
//	writer --Committed--> queue --> Run: canonical text --> window --After--> readers
//	writer, other replicas --Doubt--> Run: reads last_seq --> window
//
// # The end of a history
//
// A window knows the highest seq of its history from the rows that enter, and from
// last_seq, which Run reads each second, for all tenants in one query. It reads at
// once, those tenants together that want it, where the end is in doubt: another
// replica has stored something, a message was stored already, whether a commit was
// carried out is not known, or a reader is ahead of what is known.
//
//	unknown --row enters, or last_seq read--> known
//	known --doubt--> known, and read again
//	known --last_seq is lower, and no row entered since--> what is above is dropped:
//	                                                      the history was restored
//	known --no last_seq--> gone: readers are behind, and the database tells them
//
// # Bounds
//
// All windows together hold at most Options.Memory. When that is not enough those
// above an equal share are cut first, each from its oldest row on. A window has at
// most 32,768 rows and an eighth of the memory, keeps rows for a minute, and ends
// with its last reader. What waits to enter is at most 16 MiB; what exceeds that
// does not enter. What readers have been given is theirs: it does not count.
package tail
