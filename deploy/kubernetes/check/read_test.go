package check

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"lanekeeper/deploy/schemas"
)

// objects is what the manifests hold, one of each kind.
type objects struct {
	Namespace               corev1.Namespace
	ServiceAccount          corev1.ServiceAccount
	ConfigMap               corev1.ConfigMap
	Secret                  corev1.Secret
	Service                 corev1.Service
	Deployment              appsv1.Deployment
	PodDisruptionBudget     policyv1.PodDisruptionBudget
	HorizontalPodAutoscaler autoscalingv2.HorizontalPodAutoscaler
	NetworkPolicy           networkingv1.NetworkPolicy
}

// kind is one kind of object: where it goes, and where its schema is.
type kind struct {
	into         func(*objects) any
	file, schema string
}

// kinds are those that the manifests may have, by apiVersion and kind.
func kinds() map[string]kind {
	return map[string]kind{
		"v1/Namespace":       {func(o *objects) any { return &o.Namespace }, "api/v1.json", "core.v1.Namespace"},
		"v1/ServiceAccount":  {func(o *objects) any { return &o.ServiceAccount }, "api/v1.json", "core.v1.ServiceAccount"},
		"v1/ConfigMap":       {func(o *objects) any { return &o.ConfigMap }, "api/v1.json", "core.v1.ConfigMap"},
		"v1/Secret":          {func(o *objects) any { return &o.Secret }, "api/v1.json", "core.v1.Secret"},
		"v1/Service":         {func(o *objects) any { return &o.Service }, "api/v1.json", "core.v1.Service"},
		"apps/v1/Deployment": {func(o *objects) any { return &o.Deployment }, "apis/apps/v1.json", "apps.v1.Deployment"},
		"policy/v1/PodDisruptionBudget": {
			func(o *objects) any { return &o.PodDisruptionBudget }, "apis/policy/v1.json", "policy.v1.PodDisruptionBudget",
		},
		"autoscaling/v2/HorizontalPodAutoscaler": {
			func(o *objects) any { return &o.HorizontalPodAutoscaler }, "apis/autoscaling/v2.json", "autoscaling.v2.HorizontalPodAutoscaler",
		},
		"networking.k8s.io/v1/NetworkPolicy": {
			func(o *objects) any { return &o.NetworkPolicy }, "apis/networking.k8s.io/v1.json", "networking.v1.NetworkPolicy",
		},
	}
}

// sources returns the manifests, by name.
func sources(t *testing.T) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("../*.yaml")
	require.NoError(t, err)
	files := make(map[string]string)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		files[filepath.Base(path)] = string(text)
	}
	return files
}

// read renders the manifests and returns what they hold, and everything that
// is wrong with a single one of them.
func read(s *schemas.Schemas, files map[string]string) (*objects, []string) {
	var found []string
	note := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for name, text := range files {
		if name == "kustomization.yaml" {
			continue
		}
		if !strings.Contains(files["kustomization.yaml"], "- "+name+"\n") {
			note("%s: not among the resources of kustomization.yaml", name)
		}
		if _, err := decode(s, new(objects), text); err != nil {
			note("%s: %v", name, err)
		}
	}
	rendered, err := render(files)
	if err != nil {
		note("kustomization.yaml: %v", err)
	}
	all, seen := new(objects), make(map[string]bool)
	for _, text := range rendered {
		id, err := decode(s, all, text)
		if err != nil {
			note("rendered: %v", err)
		}
		if seen[id] {
			note("rendered: two of %s", id)
		}
		seen[id] = true
	}
	for id := range kinds() {
		if !seen[id] {
			note("rendered: no %s", id)
		}
	}
	return all, found
}

// decode reads one document into its place, strictly, and returns its kind.
func decode(s *schemas.Schemas, into *objects, text string) (string, error) {
	var header struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal([]byte(text), &header); err != nil {
		return "", fmt.Errorf("read: %w", err)
	}
	id := header.APIVersion + "/" + header.Kind
	k, known := kinds()[id]
	if !known {
		return id, fmt.Errorf("no such kind: %s", id)
	}
	if err := yaml.UnmarshalStrict([]byte(text), k.into(into)); err != nil {
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

// render does what kubectl apply -k does before it applies anything.
func render(files map[string]string) ([]string, error) {
	disk := filesys.MakeFsInMemory()
	for name, text := range files {
		if err := disk.WriteFile(name, []byte(text)); err != nil {
			return nil, fmt.Errorf("write %s: %w", name, err)
		}
	}
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, ".")
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	text, err := built.AsYaml()
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	var documents []string
	for document := range bytes.SplitSeq(text, []byte("\n---\n")) {
		documents = append(documents, string(document))
	}
	return documents, nil
}
