// Package devstack starts private PostgreSQL, RabbitMQ and Redis servers out
// of the programs that are installed on the machine, as children of this
// process: for running the service on a machine that has no servers, for
// tests and for benchmarks.
//
// They listen on 127.0.0.1 only, on ports that were free, and stay the same as long
// as nobody else has them, and keep everything they write below one directory. As
// root they run under the accounts postgres and rabbitmq, else under yours. With
// Options.Passwords they ask for passwords; tests do without (trust and guest), so
// that every user of the machine can reach their servers.
//
// A directory is used by one Stack at a time (a lock sees to it). Servers that
// an earlier, killed owner left behind are ended before they are started
// again. On Linux the kernel ends them together with their owner.
package devstack
