package check

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"sigs.k8s.io/yaml"

	"lanekeeper/deploy/schemas"
)

// helm lint has nothing against the chart, but that it has no icon.
func TestLint(t *testing.T) {
	t.Parallel()
	result := lint.RunAll(chartDir, nil, namespace)
	for _, message := range result.Messages {
		require.Less(t, message.Severity, support.WarningSev, "%s: %v", message.Path, message.Err)
	}
	require.Less(t, result.HighestSeverity, support.WarningSev)
}

// By default the chart makes what deploy/kubernetes has, to the last field, so that what
// is checked there holds here. Only which proxies are trusted is left to say.
func TestSameAsKustomize(t *testing.T) {
	t.Parallel()
	made := checked(t, schemas.New(t), "lanekeeper", "config.TRUSTED_PROXIES=10.96.100.10")
	want := kustomized(t)
	require.Len(t, made, len(want))
	for id, o := range want {
		require.Contains(t, made, id)
		require.Equal(t, plain(o), plain(made[id]), id)
	}
}

// Pods are those of their release: two in one namespace do not take each other's.
func TestReleasesAreApart(t *testing.T) {
	t.Parallel()
	s := schemas.New(t)
	one, other := checked(t, s, "lanekeeper"), checked(t, s, "second")
	const deployment = "apps/v1/Deployment"
	selectors := map[string][]string{
		deployment: {"spec", "selector", "matchLabels"}, "v1/Service": {"spec", "selector"},
		"policy/v1/PodDisruptionBudget": {"spec", "selector", "matchLabels"}, "networking.k8s.io/v1/NetworkPolicy": {"spec", "podSelector", "matchLabels"},
	}
	for id, path := range selectors {
		mine, ok := at(one[id], path...).(object)
		require.True(t, ok, id)
		labels := func(release map[string]object) any {
			return at(release[deployment], "spec", "template", "metadata", "labels")
		}
		require.Subset(t, labels(one), mine, id)
		require.NotSubset(t, labels(other), mine, id)
	}
	for id := range one {
		require.NotEqual(t, at(one[id], "metadata", "name"), at(other[id], "metadata", "name"), id)
	}
}

// What may be set makes objects that Kubernetes takes.
func TestValues(t *testing.T) {
	t.Parallel()
	s := schemas.New(t)
	made := checked(t, s, "lanekeeper",
		"image.digest=sha256:"+strings.Repeat("a", 64), "imagePullSecrets={one,two}", "secretName=other", "config.LOG_LEVEL=debug", "config.APP_PORT=9000",
		"autoscaling.enabled=false", "replicas=1", "networkPolicy.enabled=false", "service.type=LoadBalancer", "service.annotations.a=b",
		"podAnnotations.c=d", "podLabels.e=f", "nodeSelector.g=h", "tolerations[0].key=i", "tolerations[0].operator=Exists", "priorityClassName=high",
		"serviceAccount.annotations.j=k", "affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight=1",
		"affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey=zone")
	require.NotContains(t, made, "autoscaling/v2/HorizontalPodAutoscaler")
	require.NotContains(t, made, "networking.k8s.io/v1/NetworkPolicy")
	deployment := made["apps/v1/Deployment"]
	require.EqualValues(t, 1, at(deployment, "spec", "replicas"))
	text, err := json.Marshal(deployment)
	require.NoError(t, err)
	for _, part := range []string{
		`"image":"registry.example.com/lanekeeper@sha256:aaa`, `{"name":"two"}`, `"secretRef":{"name":"other"}`, `"containerPort":9000`, `"c":"d"`, `"e":"f"`, `"g":"h"`, `"priorityClassName":"high"`,
	} {
		require.Contains(t, string(text), part)
	}
	require.Equal(t, "debug", at(made["v1/ConfigMap"], "data", "LOG_LEVEL"))

	// Other settings, other pods.
	checksum := func(set ...string) any {
		return at(checked(t, s, "lanekeeper", set...)["apps/v1/Deployment"], "spec", "template", "metadata", "annotations", "checksum/config")
	}
	require.Equal(t, checksum(), checksum())
	require.NotEqual(t, checksum(), checksum("config.LOG_LEVEL=debug"))
}

// What is wrong is refused before anything is applied, and says where.
func TestWrongValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ set, says string }{
		{"replica=3", "replica"},
		{"image.tag=latest", "/image/tag"},
		{"image.digest=sha256:123", "/image/digest"},
		{"image.pullPolicy=Sometimes", "/image/pullPolicy"},
		{"replicas=0", "/replicas"},
		{"autoscaling.minReplicas=many", "/autoscaling/minReplicas"},
		{"autoscaling.minReplicas=11", "must not be above autoscaling.maxReplicas"},
		{"podDisruptionBudget.maxUnavailable=0", "/podDisruptionBudget/maxUnavailable"},
		{"podDisruptionBudget.maxUnavailable=3", "must be below the number of replicas"},
		{"config.JWT_SECRET=secret", "/config"},
		{"config.DATABASE_URL=postgres://a", "/config"},
		{"config.RABBITMQ_MANAGEMENT_URL=http://a", "/config"},
		{"config.ENCRYPTION_KEYS=a", "/config"},
		{"config.log_level=debug", "/config"},
		{"config.ENVIRONMENT=development", "/config/ENVIRONMENT"},
		{"config.ADMIN_HOST=127.0.0.1", "/config/ADMIN_HOST"},
		{"config.ADMIN_PORT=8080", "must differ from config.APP_PORT"},
		{"config.TRUSTED_PROXIES=10.0.0.0/8", "/config/TRUSTED_PROXIES"},
		{"config.SHUTDOWN_TIMEOUT=1m", "/config/SHUTDOWN_TIMEOUT"},
		{"config.SHUTDOWN_TIMEOUT=60s", "terminationGracePeriodSeconds (30) must be 67"},
		{"terminationGracePeriodSeconds=20", "must be 27 or more"},
		{"resources.limits.memory=lots", "/resources/limits/memory"},
		{"goMemLimit=900", "/goMemLimit"},
		{"service.port=0", "/service/port"},
		{"service.type=ExternalName", "/service/type"},
		{"networkPolicy.apiFrom=null", "networkPolicy"},
		{"networkPolicy.metricsFrom[0].podSelector.matchLabels.a=b", "/networkPolicy/metricsFrom/0"},
		{"networkPolicy.servers[0].ports={}", "/networkPolicy/servers/0"},
	} {
		_, err := render("lanekeeper", c.set)
		require.Error(t, err, c.set)
		require.Contains(t, err.Error(), c.says, c.set)
	}
}

// Whatever is set by default is a setting of the service.
func TestSettingsAreKnown(t *testing.T) {
	t.Parallel()
	read := func(path string) (values map[string]any) {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, yaml.Unmarshal(text, &values))
		return values
	}
	known := make(map[string]bool)
	for key, value := range read("../../../config/example.config.yaml") {
		if section, ok := value.(map[string]any); ok {
			for inner := range section {
				known[strings.ToUpper(key+"_"+inner)] = true
			}
			continue
		}
		known[strings.ToUpper(key)] = true
	}
	require.True(t, known["RABBITMQ_URL"] && known["APP_PORT"])
	settings, ok := read(filepath.Join(chartDir, "values.yaml"))["config"].(map[string]any)
	require.True(t, ok)
	require.NotEmpty(t, settings)
	for name := range settings {
		require.True(t, known[name], "the service has no setting %s", name)
	}
}
