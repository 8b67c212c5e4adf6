package spoke

import (
	"strconv"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/writ-dev/writ/credentials/tokenrequest"
)

// The admission policies around the identities of actions, and the ConfigMap with the cluster admin's bounds.
const (
	actionFence      = "writ-action"
	vaultActionFence = "writ-action-vault"
	limitsFence      = "writ-limits"
	vaultLimitsFence = "writ-limits-vault"
	LimitsConfigMap  = "writ-limits"
)

// DefaultMaxReplicas is what no action's identity may scale anything beyond, until the cluster's admin says otherwise.
const DefaultMaxReplicas = 100

// byTokenRequest and byVault tell the identities of actions: those of Writ's own namespace, and of rehearsals, which are to meet
// whatever the action would; and those of Vault's making, which all bear names that begin with "v-" (and which Vault's account is
// held to, see vaultFence).
const (
	byTokenRequest = `["system:serviceaccounts:` + tokenrequest.Namespace + `", "system:serviceaccounts:` + tokenrequest.Sandbox + `"].exists(g, g in request.userInfo.groups)`
	byVault        = `request.userInfo.username.matches("^system:serviceaccount:[^:]+:v-")`
)

// actionFences holds the identities of actions to what an action may ever be, whatever RBAC gives them. They fail closed.
func actionFences(name, limits, who string, spec admissionv1.ValidatingAdmissionPolicySpec) []runtime.Object {
	return append(policyAndBinding(name, who, spec, nil), policyAndBinding(limits, who, limitsSpec(),
		&admissionv1.ParamRef{Name: LimitsConfigMap, Namespace: SystemNamespace, ParameterNotFoundAction: notFound()})...)
}

// notFound has the limits not be checked where their ConfigMap is gone. The other choice would deny everybody's requests that the
// policy matches, whoever makes them: admission looks for parameters before it looks at who asks.
func notFound() *admissionv1.ParameterNotFoundActionType {
	allow := admissionv1.AllowAction
	return &allow
}

func policyAndBinding(name, who string, spec admissionv1.ValidatingAdmissionPolicySpec, params *admissionv1.ParamRef) []runtime.Object {
	fail, forbidden := admissionv1.Fail, metav1.StatusReasonForbidden
	spec.FailurePolicy = &fail
	spec.MatchConditions = []admissionv1.MatchCondition{{Name: "action", Expression: who}}
	for i := range spec.Validations {
		spec.Validations[i].Reason = &forbidden
	}
	return []runtime.Object{
		&admissionv1.ValidatingAdmissionPolicy{TypeMeta: kind(admissionVersion, "ValidatingAdmissionPolicy"), ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec},
		&admissionv1.ValidatingAdmissionPolicyBinding{TypeMeta: kind(admissionVersion, "ValidatingAdmissionPolicyBinding"), ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ParamRef: params,
				ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny}}},
	}
}

func matching(group string, operations []admissionv1.OperationType, resources ...string) admissionv1.NamedRuleWithOperations {
	return admissionv1.NamedRuleWithOperations{RuleWithOperations: admissionv1.RuleWithOperations{
		Operations: operations, Rule: admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"*"}, Resources: resources}}}
}

// fenceSpec is what no action does: touch who may do what, make a credential, run or reach into something, take a part of the node,
// or leave no trace of its order.
func fenceSpec() admissionv1.ValidatingAdmissionPolicySpec {
	pod := func(object string) string {
		return `!variables.workload || ` + object + ` == null ? dyn({}) :
  request.resource.resource == "pods" ? ` + object + `.spec :
  request.resource.resource == "cronjobs" ? ` + object + `.spec.jobTemplate.spec.template.spec : ` + object + `.spec.template.spec`
	}
	powerful := func(pod string) string {
		all := []string{}
		for _, list := range []string{"containers", "initContainers", "ephemeralContainers"} {
			all = append(all, `("`+list+`" in `+pod+` ? `+pod+`.`+list+` : [])`)
		}
		return `(` + strings.Join(all, " + ") + `).filter(c, has(c.securityContext) && (
  (has(c.securityContext.privileged) && c.securityContext.privileged == true) ||
  (has(c.securityContext.capabilities) && has(c.securityContext.capabilities.add) && size(c.securityContext.capabilities.add) > 0))).map(c, c.name)`
	}
	paths := func(pod string) string {
		return `("volumes" in ` + pod + ` ? ` + pod + `.volumes : []).filter(v, has(v.hostPath)).map(v, v.hostPath.path)`
	}
	return admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{
			matching("*", []admissionv1.OperationType{admissionv1.OperationAll}, "*/*")}},
		Variables: []admissionv1.Variable{
			{Name: "sub", Expression: `has(request.subResource) ? request.subResource : ""`},
			{Name: "writes", Expression: `request.operation == "CREATE" || request.operation == "UPDATE"`},
			{Name: "workload", Expression: `variables.writes && variables.sub == "" && request.resource.group in ["", "apps", "batch"] &&
  request.resource.resource in ["pods", "deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs"]`},
			{Name: "now", Expression: pod("object")},
			{Name: "before", Expression: pod("oldObject")},
		},
		Validations: []admissionv1.Validation{
			{
				Expression: `!(request.resource.group in ["rbac.authorization.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io",
  "apiregistration.k8s.io", "authentication.k8s.io", "authorization.k8s.io", "flowcontrol.apiserver.k8s.io"])`,
				Message: "no action changes who may do what, nor how the API server judges",
			},
			{
				Expression: `!(request.resource.group == "" && request.resource.resource in ["secrets", "serviceaccounts", "namespaces", "bindings"]) &&
  !(variables.sub in ["token", "binding", "ephemeralcontainers", "finalize"])`,
				Message: "no action touches Secrets, accounts, tokens, namespaces, or where a pod runs",
			},
			{
				Expression: `request.operation != "CONNECT" && !(request.operation == "CREATE" && request.resource.group == "" && request.resource.resource == "pods" && variables.sub == "")`,
				Message:    "no action runs a command, opens a connection, or makes a pod of its own",
			},
			{
				Expression: `!(has(request.namespace) && request.namespace in ["` + strings.Join([]string{SystemNamespace, tokenrequest.Namespace, tokenrequest.Sandbox}, `", "`) + `"])`,
				Message:    "no action is done in Writ's own namespaces",
			},
			{
				Expression: `!variables.writes || (has(request.options) && has(request.options.fieldManager) && request.options.fieldManager.startsWith("writ-order-"))`,
				Message:    "a change must name its order as its field manager: writ-order-…",
			},
			{
				Expression: `["hostNetwork", "hostPID", "hostIPC"].all(f, !(f in variables.now) || variables.now[f] != true ||
  (f in variables.before && variables.before[f] == true)) &&
  ` + paths("variables.now") + `.all(p, p in ` + paths("variables.before") + `)`,
				Message: "no action gives a workload a namespace or a path of its node",
			},
			{
				Expression: powerful("variables.now") + `.all(n, n in ` + powerful("variables.before") + `)`,
				Message:    "no action makes a container privileged, or gives it capabilities",
			},
			{
				Expression: `!variables.workload || oldObject == null ||
  ("serviceAccountName" in variables.now ? variables.now.serviceAccountName : "") == ("serviceAccountName" in variables.before ? variables.before.serviceAccountName : "")`,
				Message: "no action gives a workload another account",
			},
		},
	}
}

// limitsSpec are bounds that the cluster's admin sets, in the ConfigMap that is its parameter. What is not set is not bounded; a
// value that is no number denies. Scaling down is never bounded here.
func limitsSpec() admissionv1.ValidatingAdmissionPolicySpec {
	writes := []admissionv1.OperationType{admissionv1.Create, admissionv1.Update}
	wanted := func(object string) string {
		return object + ` == null || !has(` + object + `.spec) ? 0 :
  "maxReplicas" in ` + object + `.spec ? int(` + object + `.spec.maxReplicas) :
  "replicas" in ` + object + `.spec ? int(` + object + `.spec.replicas) : 0`
	}
	return admissionv1.ValidatingAdmissionPolicySpec{
		ParamKind: &admissionv1.ParamKind{APIVersion: "v1", Kind: "ConfigMap"},
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{
			matching("apps", writes, "deployments", "statefulsets", "replicasets", "deployments/scale", "statefulsets/scale", "replicasets/scale"),
			matching("autoscaling", writes, "horizontalpodautoscalers"),
		}},
		Variables: []admissionv1.Variable{
			{Name: "now", Expression: wanted("object")},
			{Name: "before", Expression: wanted("oldObject")},
			{Name: "set", Expression: `params == null || !has(params.data) ? dyn({}) : params.data`},
		},
		Validations: []admissionv1.Validation{
			{
				Expression:        `variables.now <= variables.before || !("maxReplicas" in variables.set) || variables.now <= int(variables.set.maxReplicas)`,
				Message:           "more replicas than the cluster's admin allows any action: see the ConfigMap " + SystemNamespace + "/" + LimitsConfigMap,
				MessageExpression: `"this cluster's admin allows actions " + variables.set.maxReplicas + " replicas at most, " + string(variables.now) + " are asked for: see the ConfigMap ` + SystemNamespace + "/" + LimitsConfigMap + `"`,
			},
			{
				Expression:        `variables.now <= variables.before || !("maxStep" in variables.set) || variables.now - variables.before <= int(variables.set.maxStep)`,
				Message:           "more replicas at once than the cluster's admin allows any action: see the ConfigMap " + SystemNamespace + "/" + LimitsConfigMap,
				MessageExpression: `"this cluster's admin allows actions " + variables.set.maxStep + " replicas more at once, " + string(variables.now - variables.before) + " are asked for: see the ConfigMap ` + SystemNamespace + "/" + LimitsConfigMap + `"`,
			},
		},
	}
}

// limits is the ConfigMap that limitsSpec reads.
func limits(o Options) *corev1.ConfigMap {
	replicas := o.MaxReplicas
	if replicas == 0 {
		replicas = DefaultMaxReplicas
	}
	data := map[string]string{"maxReplicas": strconv.Itoa(replicas)}
	if o.MaxStep > 0 {
		data["maxStep"] = strconv.Itoa(o.MaxStep)
	}
	return &corev1.ConfigMap{TypeMeta: kind("v1", "ConfigMap"), ObjectMeta: metav1.ObjectMeta{Namespace: SystemNamespace, Name: LimitsConfigMap}, Data: data}
}
