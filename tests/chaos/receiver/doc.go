// Package receiver is the endpoints of the chaos suite, to which the service
// delivers. They are in the process of the suite, so that nothing that is killed
// takes along what they know:
//
//	Receiver    one HTTP server, and how many requests were under way in it
//	Endpoint    a path of it: what arrived, how it answers, how much it may get at a time
//	Answer      what becomes of a request: taken, refused, left hanging, broken off
//
// All of it is safe for concurrent use.
package receiver
