// Package command is what the programs among the tests (bench, chaos, and the
// service with decorators that chaos builds) have in common: Main ends them in
// good order after a signal, and with 1 after an error.
package command
