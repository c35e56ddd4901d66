// Package metrics holds what the service measures, for Prometheus. Metrics live
// in a registry of their own; recording is cheap and safe for concurrent use.
//
//	metrics.go     all counters and histograms with their help; the gauges that are
//	               asked for at a scrape
//	record.go      the methods that count and observe
//	consumers.go   the gauges of the tenants' consumers, asked for at a scrape
//	tenants.go     which tenants have a label of their own; the others are "_other"
//
// A counter or histogram is a field and its declaration in metrics.go and a method
// in record.go. The package that is measured declares the function or interface
// that it needs, and pkg/server hands it over.
package metrics
