// Program compare runs the benchmarks of two revisions in turns, on the same machine, and
// prints the ratios of their figures with how far these lay apart: a machine is faster at
// one time than at another, and what is measured by turns has that in common.
//
//	compare [-rounds N] REVISION [arguments of bench]
//
// It compares what both print in their tables, whichever tables these are, so a revision
// needs to know nothing of it.
package main
