package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Approval is one approver's word on one action request, in the request's namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=writ
// +kubebuilder:printcolumn:name="Request",type=string,JSONPath=`.spec.request`
// +kubebuilder:printcolumn:name="Verdict",type=string,JSONPath=`.spec.verdict`
// +kubebuilder:printcolumn:name="Approver",type=string,JSONPath=`.spec.approver`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type Approval struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an approval cannot be changed; create another"
	Spec ApprovalSpec `json:"spec"`
}

// ApprovalSpec is what the approver says.
type ApprovalSpec struct {
	// Request is the name of the action request.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Request string `json:"request"`
	// OrderDigest is the digest that the request's status shows: what was read is what is approved.
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	OrderDigest string `json:"orderDigest"`
	// +kubebuilder:validation:Enum=approve;deny
	Verdict Verdict `json:"verdict"`
	// Reason goes back to the requester.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Reason string `json:"reason,omitempty"`
	// Signature is over the order's bytes (DSSE), by a key that the trust root gives to the approver. Tier high needs it.
	// +optional
	Signature *Signature `json:"signature,omitempty"`
	// Approver is the user who created the approval. It is written at admission; nobody can write another's name.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Approver string `json:"approver,omitempty"`
}

// Signature is one signature of a DSSE envelope.
type Signature struct {
	// KeyID is the key's ID in the trust root.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	KeyID string `json:"keyID"`
	// Sig is the signature, in base64.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Sig string `json:"sig"`
}

// Verdict is approve or deny.
type Verdict string

// The verdicts.
const (
	Approve Verdict = "approve"
	Deny    Verdict = "deny"
)

// ApprovalList is a list of approvals.
//
// +kubebuilder:object:root=true
type ApprovalList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Approval `json:"items"`
}
