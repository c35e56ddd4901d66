// Package terminal writes for people: tables that fit the width of their terminal,
// and a line that changes, such as a bar of progress, which elsewhere is plain lines. What
// comes from others is written without what would control the terminal. It owns no goroutine.
package terminal
