// Package writertest has a message store in memory, for tests of what writes to
// one. Its outcomes are those of the real one, and it fails when it is told to.
package writertest
