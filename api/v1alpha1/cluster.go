package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Cluster is a workload cluster, registered under the name that its spoke's SVID carries.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=writ
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Issuing",type=string,JSONPath=`.status.conditions[?(@.type=="CredentialsIssuing")].status`
// +kubebuilder:printcolumn:name="Spoke",type=string,JSONPath=`.status.spokeVersion`
// +kubebuilder:printcolumn:name="Last contact",type=date,JSONPath=`.status.lastContact`
// +kubebuilder:printcolumn:name="Kubernetes",type=string,JSONPath=`.status.kubernetesVersion`
// +kubebuilder:printcolumn:name="Nodes",type=integer,JSONPath=`.status.nodes`
// +kubebuilder:printcolumn:name="Queue",type=integer,priority=1,JSONPath=`.status.queue`
// +kubebuilder:printcolumn:name="Acknowledged",type=integer,priority=1,JSONPath=`.status.sequenceAcknowledged`
// +kubebuilder:printcolumn:name="SVID ends",type=string,priority=1,JSONPath=`.status.svidExpires`
// +kubebuilder:printcolumn:name="Trust root",type=integer,priority=1,JSONPath=`.status.trustRootVersion`
// +kubebuilder:printcolumn:name="UID",type=string,priority=1,JSONPath=`.status.clusterUID`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63",message="a cluster's name is a DNS label: it becomes part of an identity"
type Cluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ClusterSpec   `json:"spec"`
	Status            ClusterStatus `json:"status,omitempty"`
}

// ClusterSpec is what the fleet operator says.
//
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.revoked) || self == oldSelf",message="a revoked cluster stays as it is: delete it (writ cluster remove), and register it again"
type ClusterSpec struct {
	Join JoinToken `json:"join"`
	// Workload is what was read in the cluster when it was registered. Where it is missing, no spoke is let in.
	// +optional
	Workload *WorkloadPin `json:"workload,omitempty"`
	// Accept says whether a spoke that proves both factors is let in at once (Automatic), or waits until it is accepted.
	// +kubebuilder:validation:Enum=Automatic;Manual
	// +optional
	Accept string `json:"accept,omitempty"`
	// Accepted names the spoke that was accepted, by the digest of its receipt key: what status.receiptKey says.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	// +optional
	Accepted string `json:"accepted,omitempty"`
	// Revoked ends the cluster's identity for good: from then on nothing that its spoke says is heard.
	// +optional
	Revoked *Revocation `json:"revoked,omitempty"`
}

// How a spoke is let in.
const (
	AcceptAutomatic = "Automatic"
	AcceptManual    = "Manual"
)

// WorkloadPin holds fast which cluster a registration is for, and who signs the tokens of its ServiceAccounts: the hub verifies a
// spoke by that alone, and never asks the cluster. Nothing of it is secret.
type WorkloadPin struct {
	// UID of the namespace kube-system.
	// +kubebuilder:validation:Pattern=`^[0-9A-Za-z-]{8,64}$`
	UID string `json:"uid"`
	// Issuer of the tokens, as /.well-known/openid-configuration says it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Issuer string `json:"issuer"`
	// JWKS are the public keys, as /openid/v1/jwks has them (RFC 7517).
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=32768
	JWKS string `json:"jwks"`
}

// Revocation says why an identity has ended.
type Revocation struct {
	// Reason is for people, and for the audit log.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=512
	Reason string `json:"reason"`
}

// The phases of a cluster.
const (
	ClusterPending = "Pending"
	ClusterJoined  = "Joined"
	ClusterRevoked = "Revoked"
)

// The conditions of a cluster.
const (
	// ClusterAccepted: a spoke that proves itself is let in, or the one that waited was accepted.
	ClusterAccepted = "Accepted"
	// ClusterEnrolled: its spoke has an identity.
	ClusterEnrolled = "Joined"
	// ClusterReady: its spoke is connected, and its history is the hub's.
	ClusterReady = "Ready"
	// ClusterCredentialsIssuing: the last action in it had a credential. Missing until one asked for any.
	ClusterCredentialsIssuing = "CredentialsIssuing"
)

// JoinToken is the hash of a token that the hub never sees before the spoke shows it.
type JoinToken struct {
	// SHA256 is the hex digest of the token.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	SHA256 string `json:"sha256"`
	// IssuedAt begins the token's ten minutes.
	// +kubebuilder:validation:XValidation:rule="self >= timestamp('2000-01-01T00:00:00Z')",message="it is a time since the year 2000"
	IssuedAt metav1.Time `json:"issuedAt"`
	// Rejoin lets a cluster that has joined already join anew: the identity and the sequence of before end when it does.
	// +optional
	Rejoin bool `json:"rejoin,omitempty"`
}

// ClusterStatus is written by the hub.
type ClusterStatus struct {
	// Phase is Pending until the spoke has enrolled, then Joined; Revoked is the end.
	// +optional
	Phase string `json:"phase,omitempty"`
	// Message says why the spoke is not let in, if it is not.
	// +optional
	Message string `json:"message,omitempty"`
	// +optional
	Connected bool `json:"connected,omitempty"`
	// +optional
	ClusterUID string `json:"clusterUID,omitempty"`
	// ReceiptKey is the digest (SHA-256 of its PKIX form, hex) of the key with which the spoke signs what it did.
	// +optional
	ReceiptKey string `json:"receiptKey,omitempty"`
	// +optional
	SpokeVersion string `json:"spokeVersion,omitempty"`
	// Epoch counts the enrolments and resets of the cluster; its sequence begins at 1 in each.
	// +optional
	Epoch int64 `json:"epoch,omitempty"`
	// Capability is the spoke's; see api/capability.
	// +optional
	Capability int64 `json:"capability,omitempty"`
	// +optional
	LastContact *metav1.Time `json:"lastContact,omitempty"`
	// SVIDExpires is when the SVID ends with which the spoke connected last; it is renewed at half of its life.
	// +optional
	SVIDExpires *metav1.Time `json:"svidExpires,omitempty"`
	// Queue is how many bundles are signed and not yet taken.
	// +optional
	Queue int64 `json:"queue,omitempty"`
	// SequenceAcknowledged is the sequence of the last bundle that the spoke has said to have in its journal, in this epoch.
	// +optional
	SequenceAcknowledged int64 `json:"sequenceAcknowledged,omitempty"`
	// TrustRootVersion is the version of the trust root that the spoke has said to have on its disk.
	// +optional
	TrustRootVersion int64 `json:"trustRootVersion,omitempty"`
	// KubernetesVersion, Nodes and Capacity are what the spoke said of its cluster when it connected; nothing is judged by them.
	// +optional
	KubernetesVersion string `json:"kubernetesVersion,omitempty"`
	// +optional
	Nodes int64 `json:"nodes,omitempty"`
	// +optional
	Capacity *ClusterCapacity `json:"capacity,omitempty"`
	// Conditions are Accepted, Joined, Ready and CredentialsIssuing.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// Credentials are those of the cluster's actions that may be live, as its spoke said last.
	// +optional
	// +listType=atomic
	Credentials []LiveCredential `json:"credentials,omitempty"`
	// CredentialsOmitted is how many more there are.
	// +optional
	CredentialsOmitted int64 `json:"credentialsOmitted,omitempty"`
	// Freezes are the names of those that the spoke holds, as it said last.
	// +optional
	// +listType=atomic
	Freezes []string `json:"freezes,omitempty"`
	// ClockOffsetSeconds is how far the spoke's clock was ahead of the hub's when it connected; negative where it was behind.
	// +optional
	ClockOffsetSeconds int64 `json:"clockOffsetSeconds,omitempty"`
}

// LiveCredential is the credential of one action that may be live. It holds no secret.
type LiveCredential struct {
	// Request is the namespace and the name of the ActionRequest; empty where the hub knows of none.
	// +optional
	Request string `json:"request,omitempty"`
	// +optional
	AgentClass string `json:"agentClass,omitempty"`
	Action     string `json:"action"`
	Target     string `json:"target"`
	// Issuer is tokenrequest or vault; ID is what that calls it, empty while it is not known.
	Issuer string `json:"issuer"`
	// +optional
	ID    string      `json:"id,omitempty"`
	Since metav1.Time `json:"since"`
	// Until is when it ends by itself, at the latest.
	Until metav1.Time `json:"until"`
}

// ClusterCapacity is what all nodes of a cluster offer to pods.
type ClusterCapacity struct {
	CPU    resource.Quantity `json:"cpu"`
	Memory resource.Quantity `json:"memory"`
	Pods   resource.Quantity `json:"pods"`
}

// ClusterList is a list of clusters.
//
// +kubebuilder:object:root=true
type ClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Cluster `json:"items"`
}
