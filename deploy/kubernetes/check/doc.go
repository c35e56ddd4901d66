// Package check holds the tests of the Kubernetes manifests beside it, in a
// module of its own, so that the service does not depend on Kubernetes' types:
//
//	go -C deploy/kubernetes/check test -count=1 ./...
//
// (without -count=1 Go does not notice changes outside of this module).
// It renders them as kubectl apply -k does and compares them with the types
// and the schemas of Kubernetes 1.30, with each other, and with the service's
// configuration. No cluster is needed.
package check
