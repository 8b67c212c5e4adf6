package v1alpha1

import (
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ActionRequest asks for one action of the catalogue on one object of one cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ar,categories=writ
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.cluster`
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.spec.action`
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.spec.target.name`
// +kubebuilder:printcolumn:name="Tier",type=string,JSONPath=`.status.tier`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Requester",type=string,JSONPath=`.spec.requester`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ActionRequest struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an action request cannot be changed; create another"
	Spec   ActionRequestSpec   `json:"spec"`
	Status ActionRequestStatus `json:"status,omitempty"`
}

// ActionRequestSpec is what is asked for.
type ActionRequestSpec struct {
	// Cluster is the registered name of the workload cluster.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Cluster string `json:"cluster"`
	// Action is a name of the catalogue, such as "scale".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Action string `json:"action"`
	Target Target `json:"target"`
	// Parameters are checked against the action's schema.
	// +optional
	// +kubebuilder:validation:Type=object
	// +kubebuilder:pruning:PreserveUnknownFields
	Parameters *apiextensionsv1.JSON `json:"parameters,omitempty"`
	// Reason says why, for people.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
	// AgentClass is the class of the agent that asks; empty for people.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	AgentClass string `json:"agentClass,omitempty"`
	// DecisionID names the decision behind the request.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	DecisionID string `json:"decisionID,omitempty"`
	// Traceparent continues the trace of the signal (W3C Trace Context).
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Traceparent string `json:"traceparent,omitempty"`
	// Requester is the user who created the request. It is written at admission; nobody can write another's name.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Requester string `json:"requester,omitempty"`
}

// Target names the object to act on, in the workload cluster.
type Target struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	APIVersion string `json:"apiVersion"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// Phase is where a request stands, in one word.
type Phase string

// The phases. The last five are final.
const (
	PhasePending          Phase = "Pending"
	PhaseAwaitingApproval Phase = "AwaitingApproval"
	PhaseDispatched       Phase = "Dispatched"
	PhaseExecuting        Phase = "Executing"
	PhaseObserving        Phase = "Observing"
	PhaseSucceeded        Phase = "Succeeded"
	PhaseIneffective      Phase = "Ineffective" // done, but the prediction did not come true
	PhaseFailed           Phase = "Failed"
	PhaseRefused          Phase = "Refused"
	PhaseExpired          Phase = "Expired"
)

// ActionRequestStatus is a projection of the gateway's record.
type ActionRequestStatus struct {
	// +optional
	Phase Phase `json:"phase,omitempty"`
	// Message is one line for people: what is waited for, or why it was refused and what to do.
	// +optional
	Message string `json:"message,omitempty"`
	// Reason is from the closed set of refusal reasons; empty unless refused.
	// +optional
	Reason string `json:"reason,omitempty"`
	// +optional
	Tier string `json:"tier,omitempty"`
	// OrderDigest is what an approval must name.
	// +optional
	OrderDigest string `json:"orderDigest,omitempty"`
	// Prediction says what is expected to come true.
	// +optional
	Prediction string `json:"prediction,omitempty"`
	// Change says what was changed, once it was.
	// +optional
	Change string `json:"change,omitempty"`
	// Inverse is the action that undoes this one, as JSON; empty where there is none.
	// +optional
	Inverse string `json:"inverse,omitempty"`
	// +optional
	TraceID string `json:"traceID,omitempty"`
	// Steps are those taken so far, in order.
	// +optional
	// +listType=atomic
	Steps []StepStatus `json:"steps,omitempty"`
	// +optional
	Bundle *BundleStatus `json:"bundle,omitempty"`
	// Receipt is the spoke's signed receipt, a DSSE envelope.
	// +optional
	Receipt string `json:"receipt,omitempty"`
	// Outcome is the spoke's signed outcome, a DSSE envelope.
	// +optional
	Outcome string `json:"outcome,omitempty"`
}

// StepStatus is one step of the life.
type StepStatus struct {
	Name string `json:"name"`
	// Result is passed, waiting or refused.
	Result string `json:"result"`
	// +optional
	Detail string      `json:"detail,omitempty"`
	At     metav1.Time `json:"at"`
}

// BundleStatus is what was signed for the spoke.
type BundleStatus struct {
	ID       string      `json:"id"`
	Epoch    int64       `json:"epoch"`
	Sequence int64       `json:"sequence"`
	Digest   string      `json:"digest"`
	Expires  metav1.Time `json:"expires"`
	// Envelope is the DSSE envelope, as signed.
	Envelope string `json:"envelope"`
}

// ActionRequestList is a list of action requests.
//
// +kubebuilder:object:root=true
type ActionRequestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ActionRequest `json:"items"`
}

// Final reports whether nothing more will happen.
func (p Phase) Final() bool {
	switch p {
	case PhaseSucceeded, PhaseIneffective, PhaseFailed, PhaseRefused, PhaseExpired:
		return true
	}
	return false
}
