// Package logger makes the structured logger: text for people or JSON for
// machines, with attributes taken from the context of each call. Changes keeps
// what fails again and again from filling the log.
package logger
