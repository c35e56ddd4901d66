{{- /* The name of everything: that of the release, where it says what it is. */ -}}
{{- define "lanekeeper.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Which pods are those of this release. They never change. */ -}}
{{- define "lanekeeper.selector" -}}
app.kubernetes.io/name: lanekeeper
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "lanekeeper.labels" -}}
{{ include "lanekeeper.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "lanekeeper.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}

{{- /* What no schema can say: values that do not go together. */ -}}
{{- define "lanekeeper.check" -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "autoscaling.minReplicas (%d) must not be above autoscaling.maxReplicas (%d)" (int .minReplicas) (int .maxReplicas)) -}}
{{- end -}}
{{- end -}}
{{- $least := int .Values.replicas -}}
{{- if .Values.autoscaling.enabled -}}
{{- $least = int .Values.autoscaling.minReplicas -}}
{{- end -}}
{{- if and (gt $least 1) (ge (int .Values.podDisruptionBudget.maxUnavailable) $least) -}}
{{- fail (printf "podDisruptionBudget.maxUnavailable (%d) must be below the number of replicas (%d)" (int .Values.podDisruptionBudget.maxUnavailable) $least) -}}
{{- end -}}
{{- if eq (toString .Values.config.APP_PORT) (toString .Values.config.ADMIN_PORT) -}}
{{- fail "config.ADMIN_PORT must differ from config.APP_PORT" -}}
{{- end -}}
{{- $drains := add (include "lanekeeper.seconds" .Values.config.SHUTDOWN_TIMEOUT | int) (include "lanekeeper.seconds" .Values.config.SHUTDOWN_DELAY | int) 2 -}}
{{- if lt (int .Values.terminationGracePeriodSeconds) (int $drains) -}}
{{- fail (printf "terminationGracePeriodSeconds (%d) must be %d or more: config.SHUTDOWN_TIMEOUT, config.SHUTDOWN_DELAY and 2 s" (int .Values.terminationGracePeriodSeconds) (int $drains)) -}}
{{- end -}}
{{- end -}}

{{- /* A duration of whole seconds, which is what the schema takes, as a number. */ -}}
{{- define "lanekeeper.seconds" -}}
{{- trimSuffix "s" . -}}
{{- end -}}
