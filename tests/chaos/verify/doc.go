// Package verify finds out whether what was promised holds.
//
//	Checker        ledger against rows, dead letters and queues: what was lost,
//	               altered, stored twice; ends the service first
//	Probe, Within  how long others' messages take, alone and during a disturbance
//	Availability   what is answered while servers are away
//	Audience       clients of a stream: every message, once and in order
//	CheckOverlaps  whether two replicas ever worked for one tenant at a time
//	Settled        whether every tenant is fully there or fully gone
//	LostConnections   of the service to the broker, according to its log
//
// It reads Postgres and RabbitMQ directly, past the service. What does not hold is
// noted in a report.Result; an error means that it could not be found out. Probe
// and Audience own goroutines while they measure or follow; Measure and Stop wait
// for them.
package verify
