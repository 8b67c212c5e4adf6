package v1alpha1

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// HubAccount is the user name of the hub. What it asks for, it asks for in another's stead.
const HubAccount = "system:serviceaccount:writ-system:writ-hub"

// Rollout asks for one action in many clusters, a wave of them at a time. Each action is an ActionRequest of its own, beside
// the rollout, named after it and the cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=ro,categories=writ
// +kubebuilder:printcolumn:name="Action",type=string,JSONPath=`.spec.request.action`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Wave",type=string,JSONPath=`.status.wave`
// +kubebuilder:printcolumn:name="Clusters",type=string,JSONPath=`.status.progress`
// +kubebuilder:printcolumn:name="Failed",type=integer,JSONPath=`.status.failed`
// +kubebuilder:printcolumn:name="Message",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Requester",type=string,JSONPath=`.spec.requester`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63",message="a rollout's name is a DNS label: its requests are named after it"
type Rollout struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              RolloutSpec   `json:"spec"`
	Status            RolloutStatus `json:"status,omitempty"`
}

// RolloutSpec is what is asked for. Only paused and aborted may be changed.
//
// +kubebuilder:validation:XValidation:rule="self.request == oldSelf.request && self.selector == oldSelf.selector && self.waves == oldSelf.waves && self.maxFailures == oldSelf.maxFailures && self.onFailure == oldSelf.onFailure && self.pause == oldSelf.pause",message="a rollout cannot be changed, but for paused and aborted; abort it and create another"
// +kubebuilder:validation:XValidation:rule="(has(self.requester) ? self.requester : \"\") == (has(oldSelf.requester) ? oldSelf.requester : \"\") && (has(self.agentClass) ? self.agentClass : \"\") == (has(oldSelf.agentClass) ? oldSelf.agentClass : \"\")",message="who asked is written when the rollout is created"
// +kubebuilder:validation:XValidation:rule="!oldSelf.aborted || self.aborted",message="an aborted rollout stays aborted; create another"
type RolloutSpec struct {
	// Request is what is asked for in each cluster.
	Request RequestTemplate `json:"request"`
	// Selector says in which clusters.
	Selector ClusterSelector `json:"selector"`
	// Waves are the parts of the fleet, one after the other; clusters that no wave reaches are the last one.
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	// +kubebuilder:validation:XValidation:rule="self.filter(w, has(w.canary)).size() == (has(self[0].canary) ? 1 : 0)",message="a canary is the first wave, and the only canary"
	// +kubebuilder:validation:XValidation:rule="self.filter(w, has(w.percent)).map(w, w.percent).isSorted() && self.filter(w, has(w.percent)).all(w, self.filter(v, has(v.percent) && v.percent == w.percent).size() == 1)",message="the percentages of waves overlap: each counts from the first cluster, so each is greater than the one before"
	// +kubebuilder:validation:XValidation:rule="!self.exists(w, has(w.percent) && w.percent == 100) || (has(self[size(self) - 1].percent) && self[size(self) - 1].percent == 100)",message="nothing is left after a wave of 100 percent"
	Waves []Wave `json:"waves"`
	// MaxFailures is how many clusters may fail; one more stops the rollout.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=500
	MaxFailures int32 `json:"maxFailures"`
	// Pause is how long a wave that ended is let be before the next, such as "5m".
	// +optional
	// +kubebuilder:default="0s"
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('168h')",message="a pause lasts from 0s to 168h"
	Pause string `json:"pause"`
	// OnFailure says what becomes of the clusters that were changed, where the rollout stops because of failures: stop leaves
	// them, undo asks for the inverse in each.
	// +optional
	// +kubebuilder:default=stop
	OnFailure OnFailure `json:"onFailure"`
	// Paused holds the rollout: nothing more is asked for until it is false. What was asked for goes on.
	// +optional
	// +kubebuilder:default=false
	Paused bool `json:"paused"`
	// Aborted ends the rollout: what is not signed yet is withdrawn, and nothing more is asked for.
	// +optional
	// +kubebuilder:default=false
	Aborted bool `json:"aborted"`
	// AgentClass is the class of the agent that asks; empty for people.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	AgentClass string `json:"agentClass,omitempty"`
	// Requester is the user who created the rollout. It is written at admission; nobody can write another's name.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Requester string `json:"requester,omitempty"`
}

// OnFailure is what becomes of changed clusters where a rollout stops.
//
// +kubebuilder:validation:Enum=stop;undo
type OnFailure string

// What becomes of them.
const (
	FailureStop OnFailure = "stop"
	FailureUndo OnFailure = "undo"
)

// RequestTemplate is an ActionRequest's spec, without the cluster.
type RequestTemplate struct {
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
}

// ClusterSelector selects Cluster objects, once: those there are when the rollout begins.
//
// +kubebuilder:validation:XValidation:rule="has(self.names) != has(self.matchLabels)",message="clusters are selected by names or by matchLabels: one of the two"
type ClusterSelector struct {
	// Names are clusters, in the order in which they are taken.
	// +optional
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=500
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +listType=set
	Names []string `json:"names,omitempty"`
	// MatchLabels are labels of Cluster objects, all of which must be there; clusters are taken in the order of their names.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	MatchLabels map[string]string `json:"matchLabels,omitempty"`
}

// Matches reports whether a cluster is selected as it is now.
func (s ClusterSelector) Matches(cluster *Cluster) bool {
	if len(s.Names) > 0 {
		return slices.Contains(s.Names, cluster.Name)
	}
	for key, value := range s.MatchLabels {
		if has, ok := cluster.Labels[key]; !ok || has != value {
			return false
		}
	}
	return len(s.MatchLabels) > 0
}

// Wave is a part of the fleet that is asked for at once.
//
// +kubebuilder:validation:XValidation:rule="(has(self.canary) ? 1 : 0) + (has(self.percent) ? 1 : 0) + (has(self.count) ? 1 : 0) == 1",message="a wave is one of canary, percent and count"
type Wave struct {
	// Canary is a first wave of so many clusters.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=500
	Canary *int32 `json:"canary,omitempty"`
	// Percent is a wave up to so much of all clusters, counted from the first cluster of the rollout and rounded up.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	Percent *int32 `json:"percent,omitempty"`
	// Count is a wave of the next so many clusters.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=500
	Count *int32 `json:"count,omitempty"`
}

// RolloutPhase is where a rollout stands, in one word.
type RolloutPhase string

// The phases. The last four are final.
const (
	RolloutRunning   RolloutPhase = "Running"
	RolloutPaused    RolloutPhase = "Paused"
	RolloutStopping  RolloutPhase = "Stopping" // nothing more is asked for; what is under way ends
	RolloutUndoing   RolloutPhase = "Undoing"
	RolloutSucceeded RolloutPhase = "Succeeded"
	RolloutStopped   RolloutPhase = "Stopped" // by failures
	RolloutUndone    RolloutPhase = "Undone"  // stopped by failures, and every change was undone
	RolloutAborted   RolloutPhase = "Aborted" // by somebody
)

// Final reports whether nothing more will be asked for.
func (p RolloutPhase) Final() bool {
	switch p {
	case RolloutSucceeded, RolloutStopped, RolloutUndone, RolloutAborted:
		return true
	}
	return false
}

// RolloutStatus is written by the hub. The plan in it, once made, is kept.
type RolloutStatus struct {
	// +optional
	Phase RolloutPhase `json:"phase,omitempty"`
	// Message is one line for people.
	// +optional
	Message string `json:"message,omitempty"`
	// Wave is the wave under way, of all: "2/3".
	// +optional
	Wave string `json:"wave,omitempty"`
	// Progress is how many clusters ended, of all: "4/10".
	// +optional
	Progress string `json:"progress,omitempty"`
	// +optional
	Total int32 `json:"total,omitempty"`
	// +optional
	Succeeded int32 `json:"succeeded,omitempty"`
	// +optional
	Failed int32 `json:"failed,omitempty"`
	// +optional
	Undone int32 `json:"undone,omitempty"`
	// Waves are the clusters of each wave, as selected when the rollout began.
	// +optional
	// +listType=atomic
	Waves []WaveStatus `json:"waves,omitempty"`
	// Traceparent is of the trace in which all requests of the rollout are (W3C Trace Context).
	// +optional
	Traceparent string `json:"traceparent,omitempty"`
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
}

// WaveStatus is one wave.
type WaveStatus struct {
	// +listType=atomic
	Clusters []RolloutCluster `json:"clusters"`
	// StartedAt is when its first request was asked for.
	// +optional
	StartedAt *metav1.Time `json:"startedAt,omitempty"`
	// FinishedAt is when its last request ended.
	// +optional
	FinishedAt *metav1.Time `json:"finishedAt,omitempty"`
}

// RolloutCluster is one cluster of a rollout.
type RolloutCluster struct {
	Name string `json:"name"`
	// Request is the UID of its ActionRequest, once that was made. A request is never made twice, though it be deleted.
	// +optional
	Request string `json:"request,omitempty"`
	// Phase, Reason and Message are those of its ActionRequest.
	// +optional
	Phase Phase `json:"phase,omitempty"`
	// +optional
	Reason string `json:"reason,omitempty"`
	// +optional
	Message string `json:"message,omitempty"`
	// Undo is the phase of the ActionRequest that undoes it.
	// +optional
	Undo Phase `json:"undo,omitempty"`
}

// RolloutList is a list of rollouts.
//
// +kubebuilder:object:root=true
type RolloutList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Rollout `json:"items"`
}

// RequestName is the name of the request that a rollout makes for a cluster. A rollout's name has no dot, so no two rollouts
// share one.
func RequestName(rollout, cluster string) string { return rollout + "." + cluster }

// The longest name of an object, and what an undo's ends with.
const (
	maxName    = 253
	undoSuffix = ".undo"
)

// UndoName is the name of the request with which the hub undoes another one. Each has one: nothing is undone twice.
func UndoName(request string) string {
	if len(request)+len(undoSuffix) <= maxName {
		return request + undoSuffix
	}
	sum := sha256.Sum256([]byte(request))
	return request[:maxName-len(undoSuffix)-17] + "." + hex.EncodeToString(sum[:8]) + undoSuffix
}
