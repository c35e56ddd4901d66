// Package controller answers HTTP requests: router.go says which routes there
// are and who may use them, and there is one file of handlers per resource.
// Handlers read the request, call one method of a service, and write the
// answer; they decide nothing.
package controller
