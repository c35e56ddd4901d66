// Package endpoint is what callers may do with endpoints: create, change and delete
// them, hold and resume deliveries, look at attempts, have messages delivered again.
// It delivers nothing but tests: that is service/delivery, which notices changes by
// the database's announcements. The package starts no goroutines.
package endpoint
