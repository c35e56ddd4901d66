// Package schemas has the schemas of Kubernetes, to which the checks of deploy/kubernetes
// and deploy/helm hold what these make. It is a module of its own: the two take their types
// from different versions of Kubernetes.
package schemas
