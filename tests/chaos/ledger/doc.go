// Package ledger is the file in which clients of the chaos suite write down
// each of their attempts before they send it, and what came of it afterwards.
//
//	try <number> <tenant> <key or -> <hash of the payload, or "poison">
//	end <number> accepted|refused|unknown <message id, or why>
//
// An attempt may be sent several times under its key, and then has several ends.
// Read makes one state of them:
//
//	      accepted once -> accepted
//	refused every time -> refused
//	      anything else -> unknown
//
// A Ledger is safe for concurrent use. Each line goes to the operating system
// before the message does, so that it is there whatever becomes of the process.
package ledger
