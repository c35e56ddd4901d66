// Package console serves the console: pages for people, embedded in the program, which
// know nothing of the service but its API.
//
// The pages are ES modules as browsers load them; nothing builds them. Libraries are in
// static/vendor, which scripts/vendor-console.sh writes. The types in static/types are
// for checking only and are not served.
package console
