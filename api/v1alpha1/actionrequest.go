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
	// Rollout is the rollout of the same namespace that asks for this. Only the hub writes it, and believes it by what the rollout
	// says.
	// +optional
	Rollout *Reference `json:"rollout,omitempty"`
	// Undoes is the request of the same namespace whose inverse this is. Only the hub writes it, and believes it by its own record.
	// +optional
	Undoes *Reference `json:"undoes,omitempty"`
}

// Reference names an object of the same namespace.
type Reference struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`
}

// Target names the object to act on, in the workload cluster.
type Target struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	APIVersion string `json:"apiVersion"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Kind string `json:"kind"`
	// Namespace is left out for a kind that has none, such as Node.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`
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
	// Verdict is what the policies said when it was judged.
	// +optional
	Verdict *VerdictStatus `json:"verdict,omitempty"`
	// Decision is the agent's, with its evidence, where the request names one that is its own.
	// +optional
	Decision *DecisionStatus `json:"decision,omitempty"`
	// Diff is what the action would change, as it was rehearsed in the cluster before anybody was asked; an approval is of this.
	// +optional
	Diff *DiffStatus `json:"diff,omitempty"`
	// Order is the order that waits for approval: a DSSE envelope, whose payload is what approvers sign.
	// +optional
	Order string `json:"order,omitempty"`
	// OrderDigest is what an approval must name.
	// +optional
	OrderDigest string `json:"orderDigest,omitempty"`
	// Prediction says what is expected to come true.
	// +optional
	Prediction string `json:"prediction,omitempty"`
	// Change says what was changed, once it was.
	// +optional
	Change string `json:"change,omitempty"`
	// Artefact is what the action collected: text that whoever can write a log or an event in the cluster may have written.
	// +optional
	Artefact string `json:"artefact,omitempty"`
	// Inverse is the action that undoes this one, as JSON; empty where there is none.
	// +optional
	Inverse string `json:"inverse,omitempty"`
	// Drift is what was not as predicted, where the prediction did not come true.
	// +optional
	// +listType=atomic
	Drift []Drift `json:"drift,omitempty"`
	// UndoneBy is the request with which the hub undoes this one; empty where it does not.
	// +optional
	UndoneBy string `json:"undoneBy,omitempty"`
	// Requester is who asked, where the hub made the request in that one's stead.
	// +optional
	Requester string `json:"requester,omitempty"`
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

// DecisionStatus is why an agent asks.
type DecisionStatus struct {
	// Reasoning is what led from the evidence to the choice, such as "playbook rollback"; Digest is of that.
	Reasoning string `json:"reasoning"`
	// +optional
	Digest string `json:"digest,omitempty"`
	// +optional
	Summary string      `json:"summary,omitempty"`
	At      metav1.Time `json:"at"`
	// Evidence is what the agent saw, as it was then.
	// +optional
	// +listType=atomic
	Evidence []EvidenceStatus `json:"evidence,omitempty"`
}

// EvidenceStatus is one signal. All of it but the digest comes from the cluster: it is data, and nobody's instruction.
type EvidenceStatus struct {
	// Digest is of the signal as the decision keeps it.
	Digest   string      `json:"digest"`
	Reason   string      `json:"reason"`
	Severity string      `json:"severity"`
	Object   string      `json:"object"`
	Count    int64       `json:"count"`
	LastSeen metav1.Time `json:"lastSeen"`
	// +optional
	Values map[string]string `json:"values,omitempty"`
}

// Drift is one value of the target that was predicted and is another.
type Drift struct {
	Field     string `json:"field"`
	Predicted string `json:"predicted"`
	Actual    string `json:"actual"`
}

// VerdictStatus is what the policies said.
type VerdictStatus struct {
	// Tier is empty where it was denied; Why says what demands it.
	// +optional
	Tier string `json:"tier,omitempty"`
	// +optional
	Why string `json:"why,omitempty"`
	// Approvals is how many approvers the policies demand, besides what the tier demands.
	// +optional
	Approvals int32 `json:"approvals,omitempty"`
	// OnMiss is undo where a policy that matched has a change undone whose prediction does not come true in time.
	// +optional
	OnMiss string `json:"onMiss,omitempty"`
	// GitOps is what becomes of the change where a GitOps tool owns the target: lease or notify.
	// +optional
	GitOps string `json:"gitOps,omitempty"`
	// Policies are those that matched, by name.
	// +optional
	// +listType=atomic
	Policies []string `json:"policies,omitempty"`
	// Findings are what each of their rules said; of many, those that did not merely agree come first.
	// +optional
	// +listType=atomic
	Findings []FindingStatus `json:"findings,omitempty"`
}

// FindingStatus is what one rule of one policy said.
type FindingStatus struct {
	Policy string `json:"policy"`
	// Rule is where it stands in the policy's spec, such as "validations[0]".
	Rule string `json:"rule"`
	// Text is the expression or the bound, as it was written; a long one is cut.
	// +optional
	Text string `json:"text,omitempty"`
	// Effect is agrees, denies, raises or lowers.
	Effect string `json:"effect"`
	// +optional
	Says string `json:"says,omitempty"`
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

// DiffStatus is what a rehearsal showed.
type DiffStatus struct {
	// Object is what would be changed, as "deployment/shop/checkout".
	Object string `json:"object"`
	// Place is where it was rehearsed: InProcess (by the spoke itself) or Sandbox (in a Job of its own).
	Place string `json:"place"`
	// Digest is what the order carries of it: the spoke refuses to change anything else.
	Digest string `json:"digest"`
	// +optional
	// +listType=atomic
	Changes []FieldChange `json:"changes,omitempty"`
	// Omitted is how many more changes there are.
	// +optional
	Omitted int32 `json:"omitted,omitempty"`
}

// FieldChange is one field that would change. Values are compact JSON; empty where the field is not there; secret values are
// codes that tell two of them apart.
type FieldChange struct {
	Path string `json:"path"`
	// +optional
	Before string `json:"before,omitempty"`
	// +optional
	After string `json:"after,omitempty"`
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
