// Command bench measures the whole service, from HTTP to the committed row,
// against what the broker alone can do. It starts private servers that keep
// what they commit, builds the service and runs it as a process of its own;
// with DATABASE_URL and RABBITMQ_URL it uses those servers, and removes its
// tenants and queues again.
//
// Machines differ and are shared, so figures are given as a ratio to the
// broker's ceiling measured in the same round, and each is the median of
// several rounds in which everything is measured in turn. Nothing here fails
// for being slow, only for being wrong: a message refused, lost, or stored
// twice.
//
// A bench owns everything that takes part: the servers, the service, the tenants
// that it publishes to, and queues of its own. What is measured in a round is
//
//	ceiling  ->  queues: publish and acknowledge, what RabbitMQ does alone
//	batch, single  ->  tenants: HTTP to the committed row
//	measureLatencies  ->  openLoop: at a fixed rate, from the moment that was due
//	measureStreams  ->  openLoop: until a client of the stream has the event
//
// Every measurement owns the goroutines that generate its load, and has waited
// for them when it returns. A report makes the page (docs/performance.md) of the
// results.
package main
