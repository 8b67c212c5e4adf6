package v1alpha1

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Freeze stops what its scope names: nothing new is signed, and what was signed and not started is not started any more.
//
// It ends by itself at its end, or when somebody thaws it. Until then it cannot be changed or deleted.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=writ
// +kubebuilder:printcolumn:name="By",type=string,JSONPath=`.spec.frozenBy`
// +kubebuilder:printcolumn:name="Until",type=string,JSONPath=`.spec.until`
// +kubebuilder:printcolumn:name="Thawed by",type=string,JSONPath=`.spec.thawedBy`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.spec.reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="a freeze's name has at most 63 characters"
type Freeze struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              FreezeSpec `json:"spec"`
}

// FreezeSpec is what somebody said, and later, that it was taken back.
//
// +kubebuilder:validation:XValidation:rule="self.scope == oldSelf.scope && self.reason == oldSelf.reason && has(self.until) == has(oldSelf.until) && (!has(self.until) || self.until == oldSelf.until) && (has(self.revokeCredentials) && self.revokeCredentials) == (has(oldSelf.revokeCredentials) && oldSelf.revokeCredentials) && has(self.frozenBy) == has(oldSelf.frozenBy) && (!has(self.frozenBy) || self.frozenBy == oldSelf.frozenBy)",message="a freeze cannot be changed: thaw it, and make another"
// +kubebuilder:validation:XValidation:rule="!(has(oldSelf.thawed) && oldSelf.thawed) || (has(self.thawed) && self.thawed && has(self.thawedBy) == has(oldSelf.thawedBy) && (!has(self.thawedBy) || self.thawedBy == oldSelf.thawedBy))",message="what was thawed stays thawed: make another freeze"
type FreezeSpec struct {
	Scope FreezeScope `json:"scope"`
	// Reason is read by everybody whose request is refused.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason"`
	// Until is when it ends by itself. Left out: when somebody thaws it.
	// +optional
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('2000-01-01T00:00:00Z')",message="it is a time since the year 2000"
	Until *metav1.Time `json:"until,omitempty"`
	// RevokeCredentials has what was started stopped too, and its credentials ended.
	// +optional
	RevokeCredentials bool `json:"revokeCredentials,omitempty"`
	// FrozenBy is the user who created it. It is written at admission; nobody can write another's name.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	FrozenBy string `json:"frozenBy,omitempty"`
	// Thawed takes it back.
	// +optional
	Thawed bool `json:"thawed,omitempty"`
	// ThawedBy is the user who took it back, written at admission.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	ThawedBy string `json:"thawedBy,omitempty"`
}

// FreezeScope names what is frozen: exactly one of its fields is set.
//
// +kubebuilder:validation:XValidation:rule="[has(self.all) && self.all, has(self.cluster), has(self.agentClass), has(self.action)].filter(set, set).size() == 1",message="a scope is exactly one of all, cluster, agentClass and action"
type FreezeScope struct {
	// All is every action in every cluster.
	// +optional
	All bool `json:"all,omitempty"`
	// Cluster is every action in one cluster.
	// +optional
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Cluster string `json:"cluster,omitempty"`
	// AgentClass is everything that one agent class asks for.
	// +optional
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	AgentClass string `json:"agentClass,omitempty"`
	// Action is one action of the catalogue, in every cluster.
	// +optional
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=63
	Action string `json:"action,omitempty"`
}

// String is the scope for people.
func (s FreezeScope) String() string {
	switch {
	case s.Cluster != "":
		return "cluster " + s.Cluster
	case s.AgentClass != "":
		return "agent class " + s.AgentClass
	case s.Action != "":
		return "action " + s.Action
	}
	return "everything"
}

// Active reports whether it stops anything at that time.
func (f *Freeze) Active(now time.Time) bool {
	return !f.Spec.Thawed && (f.Spec.Until == nil || now.Before(f.Spec.Until.Time))
}

// FreezeList is a list of freezes.
//
// +kubebuilder:object:root=true
type FreezeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Freeze `json:"items"`
}
