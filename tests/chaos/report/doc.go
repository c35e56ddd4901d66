// Package report is what a run of the chaos suite has to say.
//
// A Result gathers the figures and the problems of one scenario, which is known
// to it as a Subject. It is safe for concurrent use until it is sealed; Seal
// turns it round where a bug was planted: then finding nothing is the problem.
//
//	running --Seal(nil)----> holds | DOES NOT HOLD   (noticed, where a bug was planted)
//	running --Seal(error)--> DOES NOT HOLD
//	running --interrupted--> interrupted
//
// A Report performs one subject after the other, prints each result as it comes,
// and writes the page (docs/reliability.md) again after each, so that it is
// there whatever happens to the run. One goroutine uses it.
package report
