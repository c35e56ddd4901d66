// Package scenario is the scenarios of the chaos suite: what is broken when, and
// what must hold. table.go lists all of them in the order in which they run, and
// figures.go says how much each does in the short and in the long form.
//
// A Runner performs them one after the other. Each gets a trial, which is an
// environment (env.Env), a result (report.Result), and clients with their ledger:
//
//	newTrial -> boot -> measure, disturb, wait -> check -> close
//
// A scenario is a function of a trial. It returns an error when it could not be
// done or something did not come in time, and notes in the result what does not
// hold. Goroutines that it starts have ended when it returns. The other files
// have one topic each.
package scenario
