// Package postgres opens connection pools to PostgreSQL with the time limits
// on the server's side, and sorts its errors by what can be done about them.
package postgres
