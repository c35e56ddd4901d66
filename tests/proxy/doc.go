// Package proxy sits between the service and one of its servers. It reads
// whole messages and lets a test judge each of them, so that a connection can
// break, or fall silent, exactly between two messages.
//
// A Protocol (Postgres, AMQP, or Bytes) finds the messages, and a Judge says of
// each whether to Pass it, to Drop it, or to Cut the connection before it. A
// Proxy owns a goroutine that accepts and two for each connection, one for each
// direction; Close ends all of them and waits. It is safe for concurrent use,
// and the Judge must be.
package proxy
