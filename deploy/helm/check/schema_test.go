package check

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"

	"lanekeeper/deploy/schemas"
)

// kind is one kind of object: its type, and where its schema is.
type kind struct {
	into         func() any
	file, schema string
}

// kinds are those that the chart may make, by apiVersion and kind.
func kinds() map[string]kind {
	return map[string]kind{
		"v1/ServiceAccount":                  {func() any { return new(corev1.ServiceAccount) }, "api/v1.json", "core.v1.ServiceAccount"},
		"v1/ConfigMap":                       {func() any { return new(corev1.ConfigMap) }, "api/v1.json", "core.v1.ConfigMap"},
		"v1/Service":                         {func() any { return new(corev1.Service) }, "api/v1.json", "core.v1.Service"},
		"apps/v1/Deployment":                 {func() any { return new(appsv1.Deployment) }, "apis/apps/v1.json", "apps.v1.Deployment"},
		"policy/v1/PodDisruptionBudget":      {func() any { return new(policyv1.PodDisruptionBudget) }, "apis/policy/v1.json", "policy.v1.PodDisruptionBudget"},
		"networking.k8s.io/v1/NetworkPolicy": {func() any { return new(networkingv1.NetworkPolicy) }, "apis/networking.k8s.io/v1.json", "networking.v1.NetworkPolicy"},
		"autoscaling/v2/HorizontalPodAutoscaler": {
			func() any { return new(autoscalingv2.HorizontalPodAutoscaler) }, "apis/autoscaling/v2.json", "autoscaling.v2.HorizontalPodAutoscaler",
		},
	}
}

// check returns the kind of a document, and what its type and its schema have against it.
func check(s *schemas.Schemas, text string) (string, error) {
	var header struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal([]byte(text), &header); err != nil {
		return "", fmt.Errorf("read: %w", err)
	}
	id := header.APIVersion + "/" + header.Kind
	k, known := kinds()[id]
	if !known {
		return id, fmt.Errorf("no such kind: %s", id)
	}
	if err := yaml.UnmarshalStrict([]byte(text), k.into()); err != nil {
		return id, fmt.Errorf("%s: %w", id, err)
	}
	var document any
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return id, fmt.Errorf("%s: %w", id, err)
	}
	if err := s.Check(k.file, k.schema, document); err != nil {
		return id, fmt.Errorf("%s: against the schema: %w", id, err)
	}
	return id, nil
}
