package check

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"helm.sh/helm/v4/pkg/strvals"
	"sigs.k8s.io/yaml"

	"lanekeeper/deploy/schemas"
)

const (
	chartDir  = "../lanekeeper"
	manifests = "../../kubernetes"
	namespace = "lanekeeper"
)

// object is a rendered object, as it stands.
type object = map[string]any

// render does what helm install does before it applies anything: with values as --set
// takes them, and those of config as --set-string does.
func render(release string, set ...string) ([]string, error) {
	chart, err := loader.LoadDir(chartDir)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	values := make(map[string]any)
	for _, one := range set {
		parse := strvals.ParseInto
		if strings.HasPrefix(one, "config.") {
			parse = strvals.ParseIntoString
		}
		if err := parse(one, values); err != nil {
			return nil, fmt.Errorf("set %s: %w", one, err)
		}
	}
	given, err := util.ToRenderValues(chart, values, common.ReleaseOptions{Name: release, Namespace: namespace, IsInstall: true, Revision: 1}, nil)
	if err != nil {
		return nil, fmt.Errorf("values: %w", err)
	}
	files, err := engine.Render(chart, given)
	if err != nil {
		return nil, fmt.Errorf("render: %w", err)
	}
	var documents []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") && strings.TrimSpace(files[name]) != "" {
			documents = append(documents, files[name])
		}
	}
	return documents, nil
}

// checked renders the chart, holds every object to its schema, and returns them by kind.
func checked(t *testing.T, s *schemas.Schemas, release string, set ...string) map[string]object {
	t.Helper()
	documents, err := render(release, set...)
	require.NoError(t, err)
	found := make(map[string]object)
	for _, text := range documents {
		id, err := check(s, text)
		require.NoError(t, err, text)
		var o object
		require.NoError(t, yaml.Unmarshal([]byte(text), &o))
		require.NotContains(t, found, id, "two of %s", id)
		found[id] = o
	}
	return found
}

// at returns what is at a path of an object, nil for nothing.
func at(o any, path ...string) any {
	for _, name := range path {
		inner, ok := o.(object)
		if !ok {
			return nil
		}
		o = inner[name]
	}
	return o
}

// plain returns a copy without the labels and annotations that Helm's objects have and
// those of kustomize do not.
func plain(value any) any {
	switch v := value.(type) {
	case object:
		copied := make(object)
		for name, inner := range v {
			switch name {
			case "app.kubernetes.io/instance", "app.kubernetes.io/version", "app.kubernetes.io/managed-by", "helm.sh/chart", "checksum/config":
				continue
			}
			copied[name] = plain(inner)
		}
		return copied
	case []any:
		copied := make([]any, len(v))
		for i := range v {
			copied[i] = plain(v[i])
		}
		return copied
	}
	return value
}

// kustomized returns the manifests of deploy/kubernetes by kind, with the namespace and
// the image that kustomization.yaml gives them, and without what a chart does not make.
func kustomized(t *testing.T) map[string]object {
	t.Helper()
	paths, err := filepath.Glob(manifests + "/*.yaml")
	require.NoError(t, err)
	found := make(map[string]object)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var o object
		require.NoError(t, yaml.Unmarshal(text, &o))
		switch o["kind"] {
		case "Kustomization", "Namespace", "Secret":
			continue
		case "Deployment":
			text = bytes.Replace(text, []byte("image: lanekeeper\n"), []byte("image: registry.example.com/lanekeeper:0.0.1\n"), 1)
			o = nil
			require.NoError(t, yaml.Unmarshal(text, &o))
		}
		metadata, ok := o["metadata"].(object)
		require.True(t, ok, path)
		metadata["namespace"] = namespace
		found[fmt.Sprint(o["apiVersion"], "/", o["kind"])] = o
	}
	require.NotEmpty(t, found)
	return found
}
