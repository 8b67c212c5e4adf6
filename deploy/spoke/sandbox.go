package spoke

import (
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/writ-dev/writ/credentials/tokenrequest"
)

// rehearsalLabel is what the pods of rehearsals bear; see spoke/rehearsal.
const rehearsalLabel = "writ.dev/rehearsal"

// sandbox bounds what runs in the namespace of rehearsals and probes: a handful of small pods, of which those of rehearsals reach the API
// server and nothing else, and those of probes what their own NetworkPolicy lets them reach.
func sandbox() []runtime.Object {
	meta := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Namespace: tokenrequest.Sandbox, Name: name}
	}
	both := []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress}
	tcp := corev1.ProtocolTCP
	var ports []networkingv1.NetworkPolicyPort
	for _, port := range []int{443, 6443} {
		at := intstr.FromInt(port)
		ports = append(ports, networkingv1.NetworkPolicyPort{Protocol: &tcp, Port: &at})
	}
	amount := func(cpu, memory string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse(memory)}
	}
	return append([]runtime.Object{
		account(tokenrequest.Sandbox, tokenrequest.ProbeAccount),
		&networkingv1.NetworkPolicy{TypeMeta: kind("networking.k8s.io/v1", "NetworkPolicy"), ObjectMeta: meta("writ-deny"),
			Spec: networkingv1.NetworkPolicySpec{PolicyTypes: both}},
		&networkingv1.NetworkPolicy{TypeMeta: kind("networking.k8s.io/v1", "NetworkPolicy"), ObjectMeta: meta("writ-rehearsal"),
			Spec: networkingv1.NetworkPolicySpec{PolicyTypes: both,
				PodSelector: metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: rehearsalLabel, Operator: metav1.LabelSelectorOpExists}}},
				Egress:      []networkingv1.NetworkPolicyEgressRule{{Ports: ports}}}},
		&corev1.ResourceQuota{TypeMeta: kind("v1", "ResourceQuota"), ObjectMeta: meta("writ"), Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{
			corev1.ResourcePods: resource.MustParse("16"), "count/jobs.batch": resource.MustParse("64"),
			corev1.ResourceRequestsCPU: resource.MustParse("2"), corev1.ResourceRequestsMemory: resource.MustParse("1Gi"),
			corev1.ResourceLimitsMemory: resource.MustParse("2Gi"), corev1.ResourcePersistentVolumeClaims: resource.MustParse("0"),
			corev1.ResourceServices: resource.MustParse("0")}}},
		&corev1.LimitRange{TypeMeta: kind("v1", "LimitRange"), ObjectMeta: meta("writ"), Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{{
			Type: corev1.LimitTypeContainer, Max: amount("1", "128Mi"), Default: amount("500m", "96Mi"), DefaultRequest: amount("20m", "32Mi")}}}},
	}, openingFence()...)
}

// openingName is the admission policy that holds the spoke to letting probes out.
const openingName = "writ-probe"

// openingFence holds the spoke's own account to NetworkPolicies that let the pod of one probe out, to single addresses (none of a node's
// link: there the cloud gives away credentials) or to pods of a named namespace, and to named ports. Those of the sandbox itself stay as they are.
func openingFence() []runtime.Object {
	return policyAndBinding(openingName, `request.userInfo.username == "system:serviceaccount:`+SystemNamespace+`:`+SpokeAccount+`"`,
		admissionv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{
				matching("networking.k8s.io", []admissionv1.OperationType{admissionv1.OperationAll}, "networkpolicies")}},
			Variables: []admissionv1.Variable{{Name: "name", Expression: `has(request.name) ? request.name : ""`}},
			Validations: []admissionv1.Validation{
				{
					Expression: `request.operation in ["CREATE", "DELETE"] && variables.name.matches("^` + tokenrequest.ProbePrefix + `[0-9a-f]{16}$")`,
					Message:    "the spoke makes and removes the NetworkPolicies of its probes, and touches no other",
				},
				{
					Expression: `request.operation != "CREATE" || (has(object.spec.podSelector.matchLabels) &&
  object.spec.podSelector.matchLabels == {"` + tokenrequest.ProbeLabel + `": variables.name} && !has(object.spec.podSelector.matchExpressions) &&
  object.spec.policyTypes == ["Ingress", "Egress"] && !has(object.spec.ingress))`,
					Message: "the NetworkPolicy of a probe is for its own pod, and lets nothing in",
				},
				{
					Expression: `request.operation != "CREATE" || !has(object.spec.egress) || object.spec.egress.all(e,
  has(e.ports) && e.ports.all(p, has(p.port) && !has(p.endPort)) &&
  has(e.to) && e.to.all(t, has(t.ipBlock) ? t.ipBlock.cidr.matches("^([0-9.]+/32|[0-9a-f:]+/128)$") &&
    (t.ipBlock.cidr == "` + tokenrequest.NodeDNS + `" || cidr(t.ipBlock.cidr).ip().isGlobalUnicast()) :
    has(t.podSelector) && has(t.namespaceSelector) && has(t.namespaceSelector.matchLabels) &&
    "` + corev1.LabelMetadataName + `" in t.namespaceSelector.matchLabels))`,
					Message: "a probe is let out to single addresses or to pods of a named namespace, and to named ports",
				},
			},
		}, nil)
}
