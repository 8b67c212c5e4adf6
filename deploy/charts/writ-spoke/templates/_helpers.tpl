{{/* What tells the hub's pods from others. */}}
{{- define "writ-spoke.selector" -}}
app.kubernetes.io/name: writ-spoke
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "writ-spoke.labels" -}}
{{ include "writ-spoke.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: writ
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "writ-spoke.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default (printf "v%s" $.Chart.AppVersion) }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* What Pod Security "restricted" asks of a container, and a root that cannot be written. */}}
{{- define "writ-spoke.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
runAsNonRoot: true
capabilities: {drop: [ALL]}
{{- end }}

{{- define "writ-spoke.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* The spoke's configuration. */}}
{{- define "writ-spoke.config" -}}
stateDir: /var/lib/writ-spoke
join: /etc/writ/join/join.yaml
accountToken: /var/run/secrets/writ.dev/enrol/token
localPolicy: /etc/writ/policy/policy.yaml
health: ":8080"
credentials: {{ .Values.credentials }}
rehearsal: {{ .Values.rehearsal }}
rehearsalPod:
  image: {{ include "writ-spoke.image" . }}
  pullPolicy: {{ .Values.image.pullPolicy }}
  {{- with .Values.imagePullSecrets }}
  pullSecrets:
    {{- range . }}
    - {{ .name }}
    {{- end }}
  {{- end }}
{{- if ne .Values.credentials "tokenrequest" }}
vault:
  address: {{ .Values.vault.address | quote }}
  {{- if .Values.vault.ca }}
  caFile: /etc/writ/config/vault-ca.pem
  {{- end }}
  {{- if ne .Values.vault.login "bundle" }}
  login: {{ .Values.vault.login }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The names of the actions that are allowed: those listed, else all of the catalogue. */}}
{{- define "writ-spoke.actions" -}}
{{- $all := keys (.Files.Get "files/rights.yaml" | fromYaml).actions | sortAlpha -}}
{{- range .Values.actions.allowed -}}
{{- if not (has . $all) -}}
{{- fail (printf "actions.allowed: the catalogue has no %q; it has %s" . (join ", " $all)) -}}
{{- end -}}
{{- end -}}
{{- $within := list -}}
{{- range $name, $action := (.Files.Get "files/rights.yaml" | fromYaml).actions -}}
{{- if not $action.clusterScoped -}}{{- $within = append $within $name -}}{{- end -}}
{{- end -}}
{{- .Values.actions.allowed | default ($within | sortAlpha) | toJson -}}
{{- end }}

{{/* An action of the site's own, as files/rights.yaml has those of the catalogue: get and patch on its one kind. */}}
{{- define "writ-spoke.template" -}}
{{- $group := "" }}
{{- if contains "/" .target.apiVersion }}{{ $group = first (splitList "/" .target.apiVersion) }}{{ end }}
{{- $on := dict "apiGroups" (list $group) "resources" (list .target.resource) }}
{{- $part := dict "role" (printf "writ-action-%s" .name) "rehearsal" (printf "writ-rehearsal-%s" .name)
  "rules" (list (merge (dict "verbs" (list "get" "patch")) $on)) }}
{{- if not (and (eq .target.apiVersion "apps/v1") (has .target.resource (list "deployments" "statefulsets" "daemonsets" "replicasets"))) }}
{{- $part = set $part "reads" (list (merge (dict "verbs" (list "get")) $on)) }}
{{- end }}
{{- toJson $part }}
{{- end }}

{{/* What the cluster itself allows: its rules, and the actions of the site's own that its admin knows. */}}
{{- define "writ-spoke.policy" -}}
{{- $policy := deepCopy .Values.localPolicy }}
{{- with .Values.actions.templates }}{{ $policy = set $policy "templates" . }}{{ end }}
{{- toYaml $policy }}
{{- end }}

{{/* The port of Vault. */}}
{{- define "writ-spoke.vaultPort" -}}
{{- $host := (urlParse .Values.vault.address).host -}}
{{- if regexMatch ":[0-9]+$" $host }}{{ regexFind "[0-9]+$" $host }}{{ else }}443{{ end -}}
{{- end }}

{{/* A rule of egress to CIDRs, or to anywhere, on ports. */}}
{{- define "writ-spoke.egress" -}}
- {{ with .cidrs }}to:
  {{- range . }}
    - ipBlock: {cidr: {{ . | quote }}}
  {{- end }}
  {{ end }}ports:
  {{- range .ports }}
    - {port: {{ . }}, protocol: TCP}
  {{- end }}
{{- end }}

{{- define "writ-spoke.egressDNS" -}}
- to:
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}
  ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end }}

{{/* What an action may do: in each allowed namespace, or everywhere where it is on what has no namespace. */}}
{{- define "writ-spoke.granted" -}}
{{- if .action.clusterScoped }}
{{- include "writ-spoke.clusterRole" (dict "name" .subject.name "rules" .action.rules "subject" .subject) }}
{{- else }}
{{- $to := . }}
{{- range .namespaces }}
{{ include "writ-spoke.role" (dict "namespace" . "name" $to.subject.name "rules" $to.action.rules "subject" $to.subject) }}
{{- end }}
{{- end }}
{{- end }}

{{/* A ClusterRole and its binding, both called name. */}}
{{- define "writ-spoke.clusterRole" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: {{ .name }}
rules: {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .name }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ .name }}
subjects: {{- list .subject | toYaml | nindent 2 }}
{{- end }}

{{/* A Role and its binding, both called name. */}}
{{- define "writ-spoke.role" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
rules: {{- toYaml .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{ .name }}
  namespace: {{ .namespace }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ .name }}
subjects: {{- list .subject | toYaml | nindent 2 }}
{{- end }}

{{/* A Role that nobody is bound to yet, or a ClusterRole where there is no namespace. */}}
{{- define "writ-spoke.unbound" -}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ if .namespace }}Role{{ else }}ClusterRole{{ end }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
rules: {{- toYaml .rules | nindent 2 }}
{{- end }}
