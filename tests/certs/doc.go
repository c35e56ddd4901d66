// Package certs makes certificates for tests, each its own authority, for the
// addresses of this machine.
package certs
