// Package overview says how all tenants and replicas do, for people who look at a
// screen of them.
//
//   - Service answers callers. Its Run has two goroutines: one samples what the metrics
//     of this process have counted, every 5 s, and the other how many messages are stored
//     for each tenant, as often.
//   - A snapshot is one look at the database, for everybody who asks within a second or
//     so: the caller that comes first takes it on its own goroutine, and the others wait
//     for it. The longer it took, the longer it lasts, so that looking never takes more
//     than a small part of a connection. While the database is away the last one is
//     shown, with its age, for as long as that makes sense.
//   - A view is what callers who may access the same tenants see of a snapshot. It is
//     made when the first of them asks.
//
// Numbers are exact where the database has them: what is stored, dead letters and lags.
// Backlogs are those that consumers sample, a few seconds old; of queues without a
// consumer, a few are asked for at each snapshot, those first that were asked longest
// ago. The rate of a tenant is that of the whole fleet, by how many messages are stored
// now and were some seconds ago; the rates of the service are those of this process.
package overview
