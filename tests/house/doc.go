// Package house holds this repository to the rules of its own house that no
// linter has: how long a file may be, over how many files the methods of a type
// may be spread, and that every package says what it is for.
//
// Check walks a tree of Go files and returns what breaks a rule. It needs no
// servers and reads nothing but the sources.
package house
