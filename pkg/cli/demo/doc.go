// Package demo shows a service at work: it makes three tenants, publishes to them
// steadily, and receives what is delivered, at one endpoint that fails now and then, one
// that is slow, and one that refuses some messages for good, which end as dead letters.
// It takes everything away when it ends, or the next time when it was killed.
//
//	demo.go       Run: making the tenants, waiting, taking them away
//	plan.go       which tenants and endpoints there are, and which messages they get
//	receivers.go  what the endpoints answer
//	traffic.go    publishing at a rate
//	watch.go      how far everything is, as the service says
//
// Run owns all goroutines: one that serves the receivers, one for each tenant that
// publishes (with those of its client.Publisher), and one that watches. They have ended
// when it returns.
package demo
