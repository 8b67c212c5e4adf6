package spoke

import (
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

// sandbox bounds what runs in the namespace of rehearsals: a handful of small pods, which reach the API server and nothing else.
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
	return []runtime.Object{
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
	}
}
