package check

import (
	"net/url"
	"slices"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// policy is that only those who are named may call, and be called, and that the
// servers which the secret names are among them.
func (r *reviewer) policy() {
	spec := r.NetworkPolicy.Spec
	r.want(slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeIngress) && slices.Contains(spec.PolicyTypes, networkingv1.PolicyTypeEgress) && len(spec.PolicyTypes) == 2,
		"network policy: is not for both directions")
	in := make(map[int32]bool)
	for _, rule := range spec.Ingress {
		r.named("from", rule.From)
		r.want(len(rule.Ports) > 0, "network policy: a rule is for all ports")
		for _, port := range rule.Ports {
			r.want(port.Port != nil && r.port(*port.Port) != 0, "network policy: the container has no port %v", port.Port)
			if port.Port != nil {
				in[r.port(*port.Port)] = true
			}
		}
	}
	for _, name := range []string{"http", "metrics"} {
		r.want(in[r.port(intstr.FromString(name))], "network policy: nobody may call port %s", name)
	}
	for _, rule := range spec.Egress {
		r.named("to", rule.To)
		r.want(len(rule.Ports) > 0, "network policy: a rule is for all ports")
	}
	for name, value := range r.Secret.StringData {
		for one := range strings.SplitSeq(value, ",") {
			u, err := url.Parse(one)
			if err != nil || u.Host == "" {
				continue
			}
			// A name in the cluster is service.namespace.svc..., or
			// pod.service.namespace.svc...
			before, _, _ := strings.Cut(u.Hostname(), ".svc")
			namespace := before[strings.LastIndex(before, ".")+1:]
			r.want(r.reaches(namespace, u.Port()), "network policy: %s cannot be reached in namespace %s on port %s", name, namespace, u.Port())
		}
	}
}

// named notes peers that may be anybody.
func (r *reviewer) named(direction string, peers []networkingv1.NetworkPolicyPeer) {
	r.want(len(peers) > 0, "network policy: a rule without %s is for everybody", direction)
	for _, peer := range peers {
		if peer.IPBlock == nil {
			selector := peer.NamespaceSelector
			r.want(selector != nil && len(selector.MatchLabels) > 0, "network policy: a peer in %s is in any namespace", direction)
		}
	}
}

// reaches reports whether a rule lets the pods call a port in a namespace.
func (r *reviewer) reaches(namespace, port string) bool {
	for _, rule := range r.NetworkPolicy.Spec.Egress {
		there := slices.ContainsFunc(rule.To, func(p networkingv1.NetworkPolicyPeer) bool {
			return p.NamespaceSelector != nil && p.NamespaceSelector.MatchLabels["kubernetes.io/metadata.name"] == namespace
		})
		open := slices.ContainsFunc(rule.Ports, func(p networkingv1.NetworkPolicyPort) bool { return p.Port != nil && p.Port.String() == port })
		if there && open {
			return true
		}
	}
	return false
}
