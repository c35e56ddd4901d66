// Package boot runs the service as its own main does, from the environment
// alone, but with decorators around its parts.
package boot
