// Package servicetest gives the tests of one service what it works with: a Broker
// and a Store on a virtual host and a database of the test's own, and tenants that
// are there in both. apptest starts the whole service instead.
package servicetest
