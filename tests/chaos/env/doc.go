// Package env is what a run of the chaos suite starts and may kill: servers,
// processes of the service, and networks between them.
//
// Shared is what all scenarios use, one after the other: the private PostgreSQL
// and RabbitMQ (Servers), and the programs that were built. An Env is what one
// scenario has for itself: a database and a virtual host on these servers, the
// service and its other replicas, proxies in front of servers. A scenario may
// put servers of its own in their place: a Cluster of three BrokerNodes, or a
// Pair of DatabaseNodes. With a Network they run on hosts of their own, which
// can be cut from each other.
//
// Everything that is started is a process that ends with this one; a
// goroutine for each waits for its end. All of these types are for one goroutine
// at a time, except for the queries of Env (InDatabase, OnChannel, EachQueue,
// QueueNames, Depths), which are safe for concurrent use.
package env
