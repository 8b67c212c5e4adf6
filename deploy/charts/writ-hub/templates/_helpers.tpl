{{/* What tells the hub's pods from others. */}}
{{- define "writ-hub.selector" -}}
app.kubernetes.io/name: writ-hub
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "writ-hub.labels" -}}
{{ include "writ-hub.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: writ
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "writ-hub.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default (printf "v%s" $.Chart.AppVersion) }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What Pod Security "restricted" asks of a container, and a root that cannot be written. */}}
{{- define "writ-hub.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "writ-hub.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* The hub's configuration. */}}
{{- define "writ-hub.config" -}}
trustDomain: {{ .Values.trustDomain | quote }}
dataDir: /var/lib/writ-hub
listen: {enrol: ":7443", connect: ":7444", admission: ":7445", health: ":8080"}
advertise:
  admission: writ-hub-admission.writ-system.svc:443
  enrol: {{ .Values.advertise.enrol | quote }}
  connect: {{ .Values.advertise.connect | quote }}
trustRoot: /etc/writ/trust/root.json
{{- with .Values.trust.gatewayTransit }}
gatewayTransit: {{ . | quote }}
{{- else }}
gatewayKey: /etc/writ/trust/gateway.key
{{- end }}
{{- with .Values.trust.caPKI }}
caPKI: {{ . | quote }}
{{- end }}
{{- if or .Values.trust.gatewayTransit .Values.trust.caPKI }}
vault:
  address: {{ .Values.vault.address | quote }}
  caFile: /etc/writ/config/vault-ca.pem
  {{- if .Values.trust.caPKI }}
  tokenFile: /var/run/secrets/writ-vault/token
  {{- end }}
{{- end }}
{{- with .Values.svidLife }}
svidLife: {{ . | quote }}
{{- end }}
limits:
  queuePerCluster: {{ .Values.limits.queuePerCluster | int64 }}
  perMinute: {{ .Values.limits.perMinute | int64 }}
  relaxedFor: {{ .Values.limits.relaxedFor | quote }}
  nodesOutPercent: {{ .Values.limits.nodesOutPercent | int64 }}
{{- if or .Values.approvals.groups .Values.approvals.hooks }}
approvals:
  {{- with .Values.approvals.groups }}
  groups: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.approvals.hooks }}
  hooks: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- with .Values.agentClasses }}
reasoners:
{{- range . }}
  - agentClass: {{ .name }}
    playbooks: /etc/writ/playbooks/{{ .name }}
{{- end }}
{{- end }}
{{- end }}

{{/* The port of Vault. */}}
{{- define "writ-hub.vaultPort" -}}
{{- $host := (urlParse .Values.vault.address).host -}}
{{- if regexMatch ":[0-9]+$" $host }}{{ regexFind "[0-9]+$" $host }}{{ else }}443{{ end -}}
{{- end }}

{{/* A rule of egress to CIDRs, or to anywhere, on ports. */}}
{{- define "writ-hub.egress" -}}
- {{ with .cidrs }}to:
  {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
  {{- end }}
  {{ end }}ports:
  {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
  {{- end }}
{{- end }}

{{- define "writ-hub.egressDNS" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}
