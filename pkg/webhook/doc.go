// Package webhook sends signed messages to URLs that somebody else chose.
//
// The address that a connection is opened to is checked after it was resolved, at
// the moment of dialling: whatever a name resolves to, at whatever time and after
// whatever redirect, the service does not reach into its own network. An answer
// costs neither much memory nor more time than the attempt has, whatever it is.
//
//	client.go    Client: a request, its answer, redirects
//	dial.go      connections, which end with the attempt that wanted them
//	address.go   which addresses are public
//	headers.go   which headers a customer may add
//	sign.go      signatures, as Standard Webhooks has them
package webhook
