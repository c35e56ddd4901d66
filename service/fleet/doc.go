// Package fleet lets several replicas of the service behave as one: it says which
// replica owns which tenant, and what the others report of their consumers.
//
//   - Fleet is what the rest of the process asks. Its Run has two goroutines: the
//     heartbeat, which owns the memberlist and this replica's participation, and
//     the reporter, which owns what was reported of our consumers.
//   - Clock is the time that all replicas share. Its Run has one goroutine.
//
// Every replica has a row in the database, which it renews every 3 s, and
// reads the rows of all of them every second. From the names of those that
// are alive each computes for itself who owns a tenant, by rendezvous hashing
// (Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates"):
// the owner is the one whose name, mixed with the tenant's id, gives the
// highest number. Replicas that know the same names come to the same result,
// and when one comes or goes only its tenants move.
//
// # Members
//
//	            row appears                  not renewed for 6 s
//	(unknown) --------------> member  ------------------------------> suspect
//	    ^                       |  ^                                   |    |
//	    |      row removed      |  |              renewed              |    |
//	    +-----------------------+  +-----------------------------------+    |
//	    ^                                                                   |
//	    |              row removed, or still a suspect after 4 s            |
//	    +-------------------------------------------------------------------+
//
// A suspect remains a member, and so an owner. The age of a row is measured
// with the database's clock, the time as a suspect with ours, so that 10 s
// after its last sign of life a replica is out, unless it was the database's
// clock that jumped: that makes suspects of all, and each renews its row
// within 3 s.
//
// While the rows cannot be read or our own cannot be renewed, and for 10 s
// after, no member is dropped: after an outage every row is old, and after the
// loss of the table they are all gone, although the replicas are not. Newcomers
// are taken even then: a fresh row can only come from a replica that lives and
// counts itself in already, and those that did not would go on claiming tenants
// that it claims.
//
// # Participation
//
// A replica that cannot consume should own nothing, as long as another one can.
// So a replica writes its row for the first time when it has reached the broker,
// and each row says whether its replica reaches the broker at the moment:
//
//	           broker reached
//	starting -----------------> in  <----------------------------------+
//	                            |                                      |
//	   no broker, and another   |            broker, and for 15 s; at  |
//	   one has it, for 15 s:    |            once if no other has it   |
//	   row removed              +------------------------> out --------+
//
// When the broker is away for all, no row says otherwise and none goes out. They
// do not notice at the same time that it goes or comes back, which the 15 s are
// for: they begin anew whenever no other replica reaches it, our own connection
// is as it should be, or the table cannot be read. After a jump of the database's
// clock all rows are old, and no other seems to reach it until they are renewed.
// The last one never goes out, because for that it would need the row of another
// one that is in. Two that lose the broker shortly after each other do not both
// go out: a row says so within a second or so, and the first to go out has waited
// for 15 s. A connection that flaps does not last for 15 s, so tenants do not
// come and go with it.
//
// A replica that is out goes on watching the others, and owns nothing.
//
// # Ownership
//
// A replica owns nothing before it has written its row for the first time, nor
// after Deregister, nor while it is out. Otherwise it always counts itself in,
// whatever the others think of it. A replica that starts right after an outage
// may take itself for the only one until the others have renewed their rows, and
// one that was frozen does not know better either. So for moments two replicas
// may both believe that they own a tenant, or none may: ownership decides which
// replica tries to consume, and the single active consumer of the queue which
// one does.
//
// # Reports of consumers
//
// Each replica reports the consumers it runs: new states within a second,
// numbers every 3 s, and everything again every half minute or so and after
// an outage, because the table of reports does not survive a crash.
package fleet
