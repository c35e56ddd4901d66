// Command chaos breaks things under load and proves that nothing is lost. It
// starts private servers which it may kill, builds the service, and runs it as
// a process of its own.
//
// In every scenario clients write each of their attempts into a ledger on
// disk before it is sent, and the outcome after it: accepted, refused or
// unknown. Afterwards a checker reads Postgres and RabbitMQ directly and
// compares. It exits with 1 when anything does not hold.
//
//	go run ./tests/chaos [-short] [-run NAMES] [-seed N] [-keep] [-out FILE]
//
// Its packages import each other in one direction only:
//
//	chaos      the flags; performs the chosen scenarios and writes the report
//	scenario   what is broken when, and what must hold: one topic a file, and the table of all
//	verify     what was lost, stored twice, or too slow
//	fault      what disturbs: cuts, partitions, clocks, loads
//	receiver   endpoints that the service delivers to, and what they got
//	load       clients of the service that write a ledger
//	env        what a run starts: servers, clusters, replicas, networks
//	report     the results of the scenarios, as text and as a page
//	ledger     the file of all attempts
//	wait       waiting for a condition
//
// To add a fault to the suite, add a function of the form func(context.Context,
// *trial) error to a file of scenario, and a line to the table in
// scenario/table.go. What breaks something goes into fault, what compares
// something into verify.
//
// Two programs beside them are the service itself with decorators around its
// parts (see boot): bugs has a bug planted into it, or records what it stores,
// and steps stops dead at a named step.
package main
