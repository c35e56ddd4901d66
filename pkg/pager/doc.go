// Package pager reads a page in parts, so that a large one is neither in memory
// as a whole nor keeps a connection while its client takes its time.
//
//	small first part --taken--> reserve memory -> read the next part --taken--> ...
//
// The first part is small and needs no reservation: most pages end with it.
// Before each later one memory for it is reserved, which its taker holds for as
// long as it takes. Between two parts nothing is held.
//
// Nothing here starts a goroutine.
package pager
