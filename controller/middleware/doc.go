// Package middleware holds what every request passes on its way to its
// handler, and the one place where errors become HTTP answers.
package middleware
