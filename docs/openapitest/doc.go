// Package openapitest loads the description of the API for tests that hold answers to
// it.
package openapitest
