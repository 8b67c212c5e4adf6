package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Cluster is a workload cluster, registered under the name that its spoke's SVID carries.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=writ
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Connected",type=boolean,JSONPath=`.status.connected`
// +kubebuilder:printcolumn:name="Spoke",type=string,JSONPath=`.status.spokeVersion`
// +kubebuilder:printcolumn:name="Last contact",type=date,JSONPath=`.status.lastContact`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63",message="a cluster's name is a DNS label: it becomes part of an identity"
type Cluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ClusterSpec   `json:"spec"`
	Status            ClusterStatus `json:"status,omitempty"`
}

// ClusterSpec is what the fleet operator says.
type ClusterSpec struct {
	Join JoinToken `json:"join"`
}

// JoinToken is the hash of a token that the hub never sees before the spoke shows it.
type JoinToken struct {
	// SHA256 is the hex digest of the token.
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{64}$`
	SHA256 string `json:"sha256"`
	// IssuedAt begins the token's ten minutes.
	IssuedAt metav1.Time `json:"issuedAt"`
}

// ClusterStatus is written by the hub.
type ClusterStatus struct {
	// Phase is Pending until the spoke has enrolled, then Joined.
	// +optional
	Phase string `json:"phase,omitempty"`
	// +optional
	Message string `json:"message,omitempty"`
	// +optional
	Connected bool `json:"connected,omitempty"`
	// +optional
	ClusterUID string `json:"clusterUID,omitempty"`
	// +optional
	SpokeVersion string `json:"spokeVersion,omitempty"`
	// +optional
	LastContact *metav1.Time `json:"lastContact,omitempty"`
}

// ClusterList is a list of clusters.
//
// +kubebuilder:object:root=true
type ClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Cluster `json:"items"`
}
