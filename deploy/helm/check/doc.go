// Package check holds the tests of the Helm chart beside it, in a module of its own, so
// that the service does not depend on Helm:
//
//	go -C deploy/helm/check test -count=1 ./...
//
// (without -count=1 Go does not notice changes outside of this module).
// They lint and render it as helm does, and compare what comes out with the types and the
// schemas of Kubernetes 1.30, with the manifests of deploy/kubernetes, of which the chart
// has to be the same in effect, and with the service's configuration. No cluster is
// needed.
package check
