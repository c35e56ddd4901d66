// Package apptest boots the whole service for tests, in this process or as a
// process of its own, talks to it over HTTP, and looks behind it into
// PostgreSQL and RabbitMQ.
//
// Client says what it is told to, right or wrong, and shows the answer as it came,
// in types of its own: it is what the API is tested with. Client.API returns the Go
// client, for what is about that, or only about getting something done.
//
// Methods that take no testing.TB belong to one test and may end it, so they
// are for the goroutine of that test; those that return an error may be used
// from others.
package apptest
