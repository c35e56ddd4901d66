// Package model holds what travels over HTTP: request bodies and how they
// become domain values, answers and how they are made from domain values.
// JSON tags live here and nowhere else.
package model
