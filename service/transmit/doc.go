// Package transmit sends tenants' stored messages to their endpoints, signed,
// and lets callers say which endpoint a tenant has.
//
// The address that a connection is opened to is checked after it was resolved,
// at the moment of dialling: whatever a name resolves to, at whatever time and
// after whatever redirect, the service does not reach into its own network.
package transmit
