package fleet

// hubManifests are what the people of this fleet have declared: who may ask and who may approve, and what is allowed.
const hubManifests = `apiVersion: writ.dev/v1alpha1
kind: ActionPolicy
metadata:
  name: shop
spec:
  matchConstraints:
    actions: [scale, rollout-restart, rollback]
    clusters: ["*"]
    namespaces: [shop]
  validations:
    - expression: action != "scale" || parameters.replicas <= 20
      message: the shop has at most 20 replicas of anything
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: approvers
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writ-approver}
subjects:
  - {kind: Group, apiGroup: rbac.authorization.k8s.io, name: sre}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: requesters
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writ-requester}
subjects:
  - {kind: Group, apiGroup: rbac.authorization.k8s.io, name: developers}
`

// playbook is what the agent class follows.
const playbook = `apiVersion: writ.dev/v1alpha1
kind: Playbook
metadata:
  name: rollback-broken-rollout
spec:
  signals: [DeploymentNotProgressing]
  when: signal.object.namespace == "shop"
  propose:
    action: rollback
  cooldown: 1m
  summary: The newest rollout does not come up; go back to the last healthy revision.
`

// workloadManifests are there before Writ comes: a namespace of somebody's own.
const workloadManifests = `apiVersion: v1
kind: Namespace
metadata:
  name: shop
`
