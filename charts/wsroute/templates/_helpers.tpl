{{- define "wsroute.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- /* Short enough for the longest suffix to fit into the 63 characters of a name. */ -}}
{{- define "wsroute.fullname" -}}
{{- $name := include "wsroute.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "wsroute.operator" -}}
{{ include "wsroute.fullname" . }}-operator
{{- end }}

{{- define "wsroute.webhook" -}}
{{ include "wsroute.fullname" . }}-webhook
{{- end }}

{{- /* The Secret of the webhook's certificate, and whether the operator makes it or takes it. */ -}}
{{- define "wsroute.webhookSecret" -}}
{{- if .Values.webhook.certManager.enabled }}
{{- include "wsroute.webhook" . }}-tls
{{- else }}
{{- .Values.webhook.existingSecret | default (include "wsroute.webhook" .) }}
{{- end }}
{{- end }}

{{- define "wsroute.webhookCertificates" -}}
{{- if or .Values.webhook.certManager.enabled .Values.webhook.existingSecret }}existing{{ else }}managed{{ end }}
{{- end }}

{{- define "wsroute.keysSecret" -}}
{{ include "wsroute.fullname" . }}-signing-keys
{{- end }}

{{- define "wsroute.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "wsroute.operator" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "wsroute.selector" -}}
app.kubernetes.io/name: {{ include "wsroute.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "wsroute.labels" -}}
app.kubernetes.io/name: {{ include "wsroute.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: wsroute
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- /* Takes a list: the root, and "operator" or "sidecar". */ -}}
{{- define "wsroute.image" -}}
{{- $root := index . 0 }}
{{- $image := index $root.Values.image (index . 1) }}
{{- with $root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end }}
{{- $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* What the restricted Pod Security level demands of a pod, and of a container. */ -}}
{{- define "wsroute.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "wsroute.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}
