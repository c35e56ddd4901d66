package check

import (
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	"lanekeeper/deploy/schemas"
)

func TestManifests(t *testing.T) {
	t.Parallel()
	require.Empty(t, problems(t, schemas.New(t), sources(t)))
}

// problems returns everything that is wrong with the manifests.
func problems(t *testing.T, s *schemas.Schemas, files map[string]string) []string {
	t.Helper()
	all, found := read(s, files)
	r := &reviewer{objects: all, found: found, keys: variables(t)}
	if len(all.Deployment.Spec.Template.Spec.Containers) != 1 {
		r.note("deployment: one container is wanted")
		return r.found
	}
	r.pod, r.container = all.Deployment.Spec.Template, all.Deployment.Spec.Template.Spec.Containers[0]
	r.names()
	r.selectors()
	r.environment()
	r.ports()
	r.probes()
	r.security()
	r.ending()
	r.numbers()
	r.policy()
	return r.found
}

// variables returns the names of the service's settings in the environment.
func variables(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../../config/example.config.yaml")
	require.NoError(t, err)
	var sections map[string]any
	require.NoError(t, yaml.Unmarshal(text, &sections))
	names := make(map[string]bool)
	for key, value := range sections {
		if section, ok := value.(map[string]any); ok {
			for inner := range section {
				names[strings.ToUpper(key+"_"+inner)] = true
			}
			continue
		}
		names[strings.ToUpper(key)] = true
	}
	require.True(t, names["RABBITMQ_URL"] && names["APP_PORT"])
	return names
}

// reviewer looks at all objects together.
type reviewer struct {
	*objects

	pod       corev1.PodTemplateSpec
	container corev1.Container
	keys      map[string]bool
	found     []string
}

func (r *reviewer) note(format string, args ...any) {
	r.found = append(r.found, fmt.Sprintf(format, args...))
}

// want notes a problem unless it holds.
func (r *reviewer) want(holds bool, format string, args ...any) {
	if !holds {
		r.note(format, args...)
	}
}

func (r *reviewer) names() {
	for what, meta := range map[string]metav1.ObjectMeta{
		"service account": r.ServiceAccount.ObjectMeta, "config map": r.ConfigMap.ObjectMeta, "secret": r.Secret.ObjectMeta,
		"service": r.Service.ObjectMeta, "deployment": r.Deployment.ObjectMeta, "budget": r.PodDisruptionBudget.ObjectMeta,
		"autoscaler": r.HorizontalPodAutoscaler.ObjectMeta, "network policy": r.NetworkPolicy.ObjectMeta,
	} {
		r.want(meta.Name == "lanekeeper", "%s: is called %q", what, meta.Name)
		r.want(meta.Namespace == r.Namespace.Name, "%s: is in namespace %q", what, meta.Namespace)
	}
	// What the Compose file builds is what kustomization.yaml renames.
	compose, err := os.ReadFile("../../../docker-compose.yml")
	r.want(err == nil && strings.Contains(string(compose), "image: lanekeeper:"), "docker-compose.yml builds another image")
	r.want(regexp.MustCompile(`^[^:]+/lanekeeper:[^:]+$`).MatchString(r.container.Image),
		"deployment: the image %q is not the one that kustomization.yaml names", r.container.Image)
	r.want(!strings.HasSuffix(r.container.Image, ":latest"), "deployment: the image has no version")
	r.want(slices.Contains([]corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}, r.container.ImagePullPolicy),
		"deployment: no such pull policy: %q", r.container.ImagePullPolicy)
	r.want(r.pod.Spec.ServiceAccountName == r.ServiceAccount.Name, "deployment: there is no service account %q", r.pod.Spec.ServiceAccountName)
}

// selects reports whether a selector matches the pods, and is not empty.
func (r *reviewer) selects(s *metav1.LabelSelector) bool {
	if s == nil || len(s.MatchLabels)+len(s.MatchExpressions) == 0 {
		return false
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(r.pod.Labels))
}

func (r *reviewer) selectors() {
	r.want(r.selects(r.Deployment.Spec.Selector), "deployment: its selector does not match its pods")
	r.want(r.selects(&metav1.LabelSelector{MatchLabels: r.Service.Spec.Selector}), "service: its selector does not match the pods")
	r.want(r.selects(r.PodDisruptionBudget.Spec.Selector), "budget: its selector does not match the pods")
	r.want(r.selects(&r.NetworkPolicy.Spec.PodSelector), "network policy: its selector does not match the pods")
	r.want(len(r.pod.Spec.TopologySpreadConstraints) > 0, "deployment: the pods are not spread")
	for _, spread := range r.pod.Spec.TopologySpreadConstraints {
		r.want(r.selects(spread.LabelSelector), "deployment: the spread over %s does not match the pods", spread.TopologyKey)
	}
	target := r.HorizontalPodAutoscaler.Spec.ScaleTargetRef
	r.want(target.APIVersion == "apps/v1" && target.Kind == "Deployment" && target.Name == r.Deployment.Name,
		"autoscaler: its target is %s %s %s", target.APIVersion, target.Kind, target.Name)
}

func (r *reviewer) environment() {
	runtime := []string{"GOMEMLIMIT", "GOMAXPROCS", "GOGC"}
	var configMaps, secrets int
	for _, from := range r.container.EnvFrom {
		if from.ConfigMapRef != nil {
			configMaps++
			r.want(from.ConfigMapRef.Name == r.ConfigMap.Name, "deployment: there is no config map %q", from.ConfigMapRef.Name)
		}
		if from.SecretRef != nil {
			secrets++
			r.want(from.SecretRef.Name == r.Secret.Name, "deployment: there is no secret %q", from.SecretRef.Name)
		}
	}
	r.want(configMaps == 1 && secrets == 1, "deployment: takes %d config maps and %d secrets, not one of each", configMaps, secrets)
	for _, v := range r.container.Env {
		r.want(r.keys[v.Name] || slices.Contains(runtime, v.Name), "deployment: nobody reads %s", v.Name)
	}
	for name := range r.ConfigMap.Data {
		r.want(r.keys[name], "config map: the service has no setting %s", name)
		_, twice := r.Secret.StringData[name]
		r.want(!twice, "config map: %s is in the secret, too", name)
		r.want(!strings.Contains(name, "SECRET") && !strings.HasSuffix(name, "_URL"), "config map: %s may hold a secret", name)
	}
	r.want(len(r.Secret.Data) == 0, "secret: data in base64 cannot be reviewed, use stringData")
	for name, value := range r.Secret.StringData {
		r.want(r.keys[name], "secret: the service has no setting %s", name)
		r.want(strings.Contains(value, "replace-me"), "secret: %s looks like a real one", name)
		for one := range strings.SplitSeq(value, ",") {
			_, err := url.Parse(one)
			r.want(err == nil, "secret: %s is no URL", name)
		}
	}
	for _, name := range []string{"JWT_SECRET", "DATABASE_URL", "RABBITMQ_URL", "REDIS_URL"} {
		r.want(r.Secret.StringData[name] != "", "secret: no %s", name)
	}
	// The service refuses to start with a shorter one: it cannot be forgotten.
	r.want(len(r.Secret.StringData["JWT_SECRET"]) < 32, "secret: the service would start with this JWT_SECRET")
	// Else Kubernetes sets variables such as APP_PORT for Services of the namespace.
	r.want(r.pod.Spec.EnableServiceLinks != nil && !*r.pod.Spec.EnableServiceLinks, "deployment: service links may overwrite settings")
}

// port returns the number of a port of the container, 0 for none.
func (r *reviewer) port(p intstr.IntOrString) int32 {
	for _, port := range r.container.Ports {
		if p.Type == intstr.String && port.Name == p.StrVal || p.Type == intstr.Int && port.ContainerPort == p.IntVal {
			return port.ContainerPort
		}
	}
	return 0
}

func (r *reviewer) ports() {
	for name, setting := range map[string]string{"http": "APP_PORT", "metrics": "ADMIN_PORT"} {
		have := r.port(intstr.FromString(name))
		r.want(have != 0 && fmt.Sprint(have) == r.ConfigMap.Data[setting], "deployment: port %s is %d, %s is %q", name, have, setting, r.ConfigMap.Data[setting])
	}
	r.want(r.pod.Annotations["prometheus.io/port"] == r.ConfigMap.Data["ADMIN_PORT"], "deployment: Prometheus is sent to another port")
	r.want(len(r.Service.Spec.Ports) > 0, "service: no port")
	for _, port := range r.Service.Spec.Ports {
		r.want(r.port(port.TargetPort) != 0, "service: the container has no port %s", port.TargetPort.String())
		r.want(port.TargetPort.String() != "metrics", "service: publishes the metrics")
	}
	// Else nobody but the pod itself could ask.
	r.want(r.ConfigMap.Data["ADMIN_HOST"] == "0.0.0.0", "config map: metrics are at %q only", r.ConfigMap.Data["ADMIN_HOST"])
	// The service is told by whom X-Forwarded-For is believed, one by one.
	for proxy := range strings.SplitSeq(r.ConfigMap.Data["TRUSTED_PROXIES"], ",") {
		_, err := netip.ParseAddr(strings.TrimSpace(proxy))
		r.want(err == nil, "config map: %q is no single proxy", proxy)
	}
	files, err := strconv.Atoi(r.ConfigMap.Data["RABBITMQ_FILE_LIMIT"])
	r.want(err == nil && files >= 20000, "config map: the broker's open files are not said")
}

func (r *reviewer) probes() {
	probes := map[string]*corev1.Probe{
		"/readyz": r.container.ReadinessProbe, "/healthz": r.container.LivenessProbe, "/healthz (start)": r.container.StartupProbe,
	}
	for path, probe := range probes {
		path, _, _ = strings.Cut(path, " ")
		if probe == nil || probe.HTTPGet == nil {
			r.note("deployment: no probe of %s", path)
			continue
		}
		r.want(probe.HTTPGet.Path == path, "deployment: a probe asks %s instead of %s", probe.HTTPGet.Path, path)
		r.want(r.port(probe.HTTPGet.Port) != 0 && probe.HTTPGet.Port.String() != "metrics",
			"deployment: the probe of %s asks port %s", path, probe.HTTPGet.Port.String())
		r.want(probe.TimeoutSeconds >= 2, "deployment: the probe of %s is impatient", path)
	}
}

// security is the standard "restricted", which the namespace enforces, and
// that nothing but memory can be written.
func (r *reviewer) security() {
	r.want(r.Namespace.Labels["pod-security.kubernetes.io/enforce"] == "restricted", "namespace: does not enforce restricted pods")
	isFalse := func(b *bool) bool { return b != nil && !*b }
	isTrue := func(b *bool) bool { return b != nil && *b }
	pod, own := r.pod.Spec.SecurityContext, r.container.SecurityContext
	if pod == nil || own == nil || own.Capabilities == nil || pod.SeccompProfile == nil {
		r.note("deployment: no security context")
		return
	}
	r.want(isTrue(pod.RunAsNonRoot) && pod.RunAsUser != nil && *pod.RunAsUser > 0, "deployment: may run as root")
	r.want(pod.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault, "deployment: the seccomp profile is %s", pod.SeccompProfile.Type)
	r.want(isFalse(own.AllowPrivilegeEscalation), "deployment: may gain privileges")
	r.want(isTrue(own.ReadOnlyRootFilesystem), "deployment: its files can be written")
	r.want(slices.Equal(own.Capabilities.Drop, []corev1.Capability{"ALL"}) && len(own.Capabilities.Add) == 0, "deployment: keeps capabilities")
	r.want(isFalse(r.pod.Spec.AutomountServiceAccountToken) && isFalse(r.ServiceAccount.AutomountServiceAccountToken), "deployment: gets a token")
}

// ending: whoever drains is given the time for it.
func (r *reviewer) ending() {
	delay, delayErr := time.ParseDuration(r.ConfigMap.Data["SHUTDOWN_DELAY"])
	timeout, timeoutErr := time.ParseDuration(r.ConfigMap.Data["SHUTDOWN_TIMEOUT"])
	if delayErr != nil || timeoutErr != nil || r.pod.Spec.TerminationGracePeriodSeconds == nil {
		r.note("config map: how long a shutdown takes is not said")
		return
	}
	grace := time.Duration(*r.pod.Spec.TerminationGracePeriodSeconds) * time.Second
	r.want(grace >= timeout+delay+2*time.Second, "deployment: killed after %v, drains for up to %v", grace, timeout+delay)
	if probe := r.container.ReadinessProbe; probe != nil {
		noticed := time.Duration(probe.PeriodSeconds*probe.FailureThreshold) * time.Second
		r.want(delay >= noticed, "config map: a delay of %v is over before %v of probes tell that a pod drains", delay, noticed)
	}
}

func (r *reviewer) numbers() {
	scaler := r.HorizontalPodAutoscaler.Spec
	if scaler.MinReplicas == nil || r.Deployment.Spec.Replicas == nil || r.PodDisruptionBudget.Spec.MaxUnavailable == nil {
		r.note("autoscaler: the number of replicas is not said")
		return
	}
	least := *scaler.MinReplicas
	r.want(least == *r.Deployment.Spec.Replicas, "deployment: %d replicas, the autoscaler has at least %d", *r.Deployment.Spec.Replicas, least)
	r.want(least <= scaler.MaxReplicas, "autoscaler: at least %d, at most %d", least, scaler.MaxReplicas)
	gone, err := intstr.GetScaledValueFromIntOrPercent(r.PodDisruptionBudget.Spec.MaxUnavailable, int(least), true)
	r.want(err == nil && gone >= 1 && gone < int(least), "budget: %d of %d may be gone", gone, least)
	requests, limits := r.container.Resources.Requests, r.container.Resources.Limits
	r.want(!requests.Cpu().IsZero() && !requests.Memory().IsZero(), "deployment: requests nothing, so that the autoscaler cannot count")
	r.want(limits.Memory().Cmp(*requests.Memory()) >= 0, "deployment: its limit of memory is below what it requests")
	rolling := r.Deployment.Spec.Strategy.RollingUpdate
	r.want(rolling != nil && rolling.MaxUnavailable != nil && rolling.MaxUnavailable.String() == "0", "deployment: an update takes replicas away before others are ready")
}
