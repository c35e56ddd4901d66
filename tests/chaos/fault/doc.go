// Package fault is what the chaos suite disturbs the service with, beyond
// killing and freezing what env has started.
//
//	Cutter         cuts a connection exactly before a message that matters
//	Interceptor    holds a connection there until the service is dead
//	Partition      links between hosts that lose everything, drawn by chance
//	FailOver       the primary of a pair fails, and its standby is promoted
//	Clock          the clock of one process jumps
//	BrokerLoad     other queues keep the broker busy
//	HangingEndpoint   takes deliveries and never answers
//	SlowDial, StuckUpload   clients that read slowly, or do not finish what they send
//
// While, Crowd and During repeat a disturbance for as long as something is
// measured; they own the goroutines that disturb, and wait for them.
package fault
