package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ActionPolicy allows actions, on conditions. Without a policy that matches, nothing is allowed.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=ap,categories=writ
// +kubebuilder:printcolumn:name="Actions",type=string,JSONPath=`.spec.match.actions`
// +kubebuilder:printcolumn:name="Clusters",type=string,JSONPath=`.spec.match.clusters`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ActionPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ActionPolicySpec `json:"spec"`
}

// ActionPolicySpec says what is matched and what must hold.
type ActionPolicySpec struct {
	Match PolicyMatch `json:"match"`
	// Validations must all be true. Every policy that matches must agree: one that does not, denies.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Validations []PolicyValidation `json:"validations,omitempty"`
	// MinTier raises the tier; it never lowers it.
	// +optional
	// +kubebuilder:validation:Enum=low;medium;high
	MinTier string `json:"minTier,omitempty"`
}

// PolicyMatch selects requests. An empty list matches nothing; "*" matches all.
type PolicyMatch struct {
	// +listType=set
	Actions []string `json:"actions"`
	// +listType=set
	Clusters []string `json:"clusters"`
	// +listType=set
	Namespaces []string `json:"namespaces"`
	// AgentClasses selects by agent class; people have the class "".  Left out: any.
	// +optional
	// +listType=set
	AgentClasses []string `json:"agentClasses,omitempty"`
}

// PolicyValidation is one condition.
type PolicyValidation struct {
	// Expression is CEL over action, target, parameters, observed, cluster, agentClass, requester.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression"`
	// Message is what the requester reads where the expression is false.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// ActionPolicyList is a list of policies.
//
// +kubebuilder:object:root=true
type ActionPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ActionPolicy `json:"items"`
}
