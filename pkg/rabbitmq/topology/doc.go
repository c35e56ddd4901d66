// Package topology inspects, declares, binds, purges and deletes queues and
// exchanges without harming anybody else on the broker's connections.
//
// An error of the broker closes the channel on which something was asked, and
// some end the whole connection. So a Client has two kinds of places to work:
//
//   - Channels of one connection, which all calls share, for what the broker
//     answers with an error of the channel at worst: Inspect, Bind and Do. A few
//     are kept for the next call (channelPool). A channel counts until the broker
//     has closed it, however long ago its caller gave up.
//   - A few connections, each of which one call has for itself, for changes of
//     queues: Declare, Purge and Delete (exclusiveSessions). They are closed when
//     nobody has used them for some seconds.
//
// A queue that does not answer takes one channel, however often it is asked:
// while a question that was given up is not answered, the next one waits for
// that answer (questions).
//
// Run closes the connections that nobody uses. The goroutines that wait for the
// answers to calls that were given up end with the session at the latest.
package topology
