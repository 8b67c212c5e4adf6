// Package hub holds the manifests that a hub cluster needs before the hub runs: the CRDs, the admission policies that
// write down who asked and who approved, the hub's own rights, and roles for people.
package hub

import (
	"embed"
	"fmt"
)

//go:embed crds/*.yaml manifests/*.yaml
var files embed.FS

// CRDs returns the custom resource definitions, as multi-document YAML.
func CRDs() []byte { return join("crds") }

// Manifests returns everything else, in the order in which it is applied.
func Manifests() []byte { return join("manifests") }

// AgentClass returns the namespace, ServiceAccount and Role of an agent class: it may create action requests in its own
// namespace, and nothing else. The hub may ask for tokens of that account: it reasons for the class, under the class's name.
func AgentClass(name string) []byte { return fmt.Appendf(nil, agentClass, name) }

const agentClass = `apiVersion: v1
kind: Namespace
metadata:
  name: writ-agent-%[1]s
  labels:
    pod-security.kubernetes.io/enforce: restricted
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: agent
  namespace: writ-agent-%[1]s
automountServiceAccountToken: false
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: agent
  namespace: writ-agent-%[1]s
rules:
  - apiGroups: [writ.dev]
    resources: [actionrequests]
    verbs: [create]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: agent
  namespace: writ-agent-%[1]s
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: agent
subjects:
  - kind: ServiceAccount
    name: agent
    namespace: writ-agent-%[1]s
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: writ-hub
  namespace: writ-agent-%[1]s
rules:
  - apiGroups: [""]
    resources: [serviceaccounts/token]
    resourceNames: [agent]
    verbs: [create]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: writ-hub
  namespace: writ-agent-%[1]s
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: writ-hub
subjects:
  - kind: ServiceAccount
    name: writ-hub
    namespace: writ-system
`

func join(dir string) []byte {
	entries, err := files.ReadDir(dir)
	if err != nil {
		panic(fmt.Sprintf("embedded manifests: %v", err))
	}
	var out []byte
	for _, entry := range entries {
		raw, err := files.ReadFile(dir + "/" + entry.Name())
		if err != nil {
			panic(fmt.Sprintf("embedded manifests: %v", err))
		}
		out = append(append(out, "---\n"...), raw...)
	}
	return out
}
