// Package devtest gives tests PostgreSQL, RabbitMQ and Redis: a database or a
// virtual host of its own for each test, on servers that all tests share, or
// whole servers that a test may break.
//
// Which servers that are is decided as package testservers describes. `make
// test` starts them once for all test programs. A plain `go test ./package`
// works too: the first test of a program that asks starts a server in a
// process beside it, which ends when the test program does. That process, not
// this one, has the goroutines, so checks for leaks see none of it.
package devtest
