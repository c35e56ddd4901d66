// Package postgres opens connection pools to PostgreSQL with the time limits on
// the server's side, and sorts its errors by what can be done about them.
//
//	pool.go       NewPool and ParseConfig; PoolOptions are the limits
//	settings.go   what every session has set, and errors that go away only with another URL
//	roles.go      as which role a connection acts, and names and texts in SQL
//	pooling.go    CheckPooling: whether a pooler stands in between that loses state
//	cancel.go     how a statement ends whose context ended
//	errors.go     Classify: unavailable, contended, the data's fault, or ours
//	arrays.go     arguments that the driver encodes slowly
//
// It has no goroutines but those of a cancel request, which the connection waits
// for.
package postgres
