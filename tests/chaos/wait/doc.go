// Package wait waits for conditions, as all parts of the chaos suite do: Until
// one holds, with a limit and with the reason why it did not, or For a time.
package wait
