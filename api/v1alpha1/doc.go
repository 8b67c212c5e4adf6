// Package v1alpha1 holds what people and agent classes declare on the hub's Kubernetes API server.
//
// An ActionRequest's spec is an intake: it is copied into the gateway's record once. Its status is a projection of that
// record, written after the fact and never read back.
//
// +kubebuilder:object:generate=true
// +groupName=writ.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is writ.dev/v1alpha1.
var GroupVersion = schema.GroupVersion{Group: "writ.dev", Version: "v1alpha1"}

// AddToScheme registers the types of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&ActionRequest{}, &ActionRequestList{},
		&Approval{}, &ApprovalList{},
		&ActionPolicy{}, &ActionPolicyList{},
		&ActionTemplate{}, &ActionTemplateList{},
		&Cluster{}, &ClusterList{},
		&Freeze{}, &FreezeList{},
		&Rollout{}, &RolloutList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
