package check

import (
	"maps"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"lanekeeper/deploy/schemas"
)

// A check that never fails checks nothing: each of these mistakes, made in a
// copy, has to be found.
func TestMistakesAreFound(t *testing.T) {
	t.Parallel()
	s := schemas.New(t)
	for _, mistake := range []struct{ name, file, old, new, found string }{
		{"misspelt field", "deployment.yaml", "replicas: 3", "replica: 3", "unknown field"},
		{"misspelt field, deep", "deployment.yaml", "readOnlyRootFilesystem", "readonlyRootFS", "unknown field"},
		{"field twice", "deployment.yaml", "replicas: 3", "replicas: 3\n  replicas: 4", "already"},
		{"wrong type", "deployment.yaml", "containerPort: 8080", "containerPort: eighty", "cannot unmarshal"},
		{"no quantity", "deployment.yaml", "cpu: 500m", "cpu: half", "quantities must match"},
		{"required field left out", "deployment.yaml", "  selector:\n    matchLabels:\n      app.kubernetes.io/name: lanekeeper\n  strategy", "  strategy", `property "selector" is missing`},
		{"required field left out, deep", "deployment.yaml", "- name: lanekeeper\n          image: lanekeeper\n", "- image: lanekeeper\n", `property "name" is missing`},
		{"old version of the API", "horizontalpodautoscaler.yaml", "autoscaling/v2\n", "autoscaling/v2beta2\n", "no such kind"},
		{"misspelt kustomization", "kustomization.yaml", "newTag", "tag", "tag"},
		{"forgotten file", "kustomization.yaml", "  - service.yaml\n", "", "service.yaml: not among the resources"},
		{"another selector", "service.yaml", "selector:\n    app.kubernetes.io/name: lanekeeper", "selector:\n    app.kubernetes.io/name: lanekeper", "service: its selector"},
		{"another label", "poddisruptionbudget.yaml", "matchLabels:\n      app.kubernetes.io/name: lanekeeper", "matchLabels:\n      app: lanekeeper", "budget: its selector"},
		{"spread over others", "deployment.yaml", "topologyKey: topology.kubernetes.io/zone\n          whenUnsatisfiable: ScheduleAnyway\n          labelSelector:\n            matchLabels:\n              app.kubernetes.io/name: lanekeeper", "topologyKey: topology.kubernetes.io/zone\n          whenUnsatisfiable: ScheduleAnyway\n          labelSelector:\n            matchLabels:\n              app.kubernetes.io/name: other", "the spread over topology.kubernetes.io/zone"},
		{"another target", "horizontalpodautoscaler.yaml", "kind: Deployment\n    name: lanekeeper", "kind: Deployment\n    name: lane", "autoscaler: its target"},
		{"probe of no port", "deployment.yaml", "path: /readyz\n              port: http", "path: /readyz\n              port: web", "the probe of /readyz asks port web"},
		{"probes exchanged", "deployment.yaml", "path: /readyz", "path: /healthz", "instead of /readyz"},
		{"service to no port", "service.yaml", "targetPort: http", "targetPort: https", "no port https"},
		{"setting that nobody knows", "configmap.yaml", "LOG_FORMAT", "LOG_FORMATS", "no setting LOG_FORMATS"},
		{"other port", "configmap.yaml", `APP_PORT: "8080"`, `APP_PORT: "8081"`, "APP_PORT is"},
		{"secret in the config map", "configmap.yaml", "LOG_FORMAT: json", "DATABASE_URL: postgres://db", "may hold a secret"},
		{"real secret", "secret.yaml", "JWT_SECRET: replace-me", "JWT_SECRET: 0123456789abcdef0123456789abcdef", "looks like a real one"},
		{"setting left out", "secret.yaml", "JWT_SECRET: replace-me\n", "JWT_LIFETIME: replace-me\n", "no JWT_SECRET"},
		{"no such secret", "deployment.yaml", "secretRef:\n                name: lanekeeper", "secretRef:\n                name: secrets", `no secret "secrets"`},
		{"no such account", "deployment.yaml", "serviceAccountName: lanekeeper", "serviceAccountName: default", "no service account"},
		{"killed while draining", "deployment.yaml", "terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 20", "killed after 20s"},
		{"too short a delay", "configmap.yaml", "SHUTDOWN_DELAY: 5s", "SHUTDOWN_DELAY: 500ms", "is over before"},
		{"root", "deployment.yaml", "runAsNonRoot: true", "runAsNonRoot: false", "may run as root"},
		{"capabilities", "deployment.yaml", "drop: [ALL]", "drop: [NET_RAW]", "keeps capabilities"},
		{"token", "serviceaccount.yaml", "automountServiceAccountToken: false", "automountServiceAccountToken: true", "gets a token"},
		{"nobody may go", "poddisruptionbudget.yaml", "maxUnavailable: 1", "maxUnavailable: 0", "budget: 0 of 3"},
		{"no such policy", "deployment.yaml", "imagePullPolicy: IfNotPresent", "imagePullPolicy: IfAbsent", "no such pull policy"},
		{"broker out of reach", "networkpolicy.yaml", "        - port: 5672\n", "", "RABBITMQ_URL cannot be reached"},
		{"server elsewhere", "networkpolicy.yaml", "kubernetes.io/metadata.name: brokers", "kubernetes.io/metadata.name: others", "RABBITMQ_URL cannot be reached in namespace brokers"},
		{"metrics for everybody", "networkpolicy.yaml", "    - from:\n        - namespaceSelector:\n            matchLabels:\n              kubernetes.io/metadata.name: monitoring\n          podSelector:\n            matchLabels:\n              app.kubernetes.io/name: prometheus\n      ports:", "    - ports:", "a rule without from is for everybody"},
		{"metrics for any namespace", "networkpolicy.yaml", "        - namespaceSelector:\n            matchLabels:\n              kubernetes.io/metadata.name: monitoring\n          podSelector:", "        - namespaceSelector: {}\n          podSelector:", "a peer in from is in any namespace"},
		{"metrics for nobody", "configmap.yaml", "ADMIN_HOST: 0.0.0.0", "ADMIN_HOST: 127.0.0.1", `metrics are at "127.0.0.1" only`},
		{"a network that is trusted", "configmap.yaml", "TRUSTED_PROXIES: 10.96.100.10", "TRUSTED_PROXIES: 10.0.0.0/8", "is no single proxy"},
		{"a broker of unknown size", "configmap.yaml", "  RABBITMQ_FILE_LIMIT: \"65536\"\n", "", "open files are not said"},
		{"image without a version", "kustomization.yaml", "newTag: 0.0.1", "newTag: latest", "no version"},
	} {
		t.Run(mistake.name, func(t *testing.T) {
			t.Parallel()
			files := maps.Clone(sources(t))
			require.Equal(t, 1, strings.Count(files[mistake.file], mistake.old), "%q is not once in %s", mistake.old, mistake.file)
			files[mistake.file] = strings.Replace(files[mistake.file], mistake.old, mistake.new, 1)
			require.Contains(t, strings.Join(problems(t, s, files), "\n"), mistake.found)
		})
	}
}
