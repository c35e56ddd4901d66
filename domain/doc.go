// Package domain holds what Lanekeeper is about: tenants, messages, users,
// the rules that bind them, and the ports through which the services reach
// the outside. It knows no JSON, SQL, AMQP or HTTP.
package domain
