// Package apptest boots the whole service for tests, in this process or as a
// process of its own, talks to it over HTTP, and looks behind it into
// PostgreSQL and RabbitMQ.
//
// Methods that take no testing.TB belong to one test and may end it, so they
// are for the goroutine of that test; those that return an error may be used
// from others.
package apptest
