package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ActionPolicy allows actions, on conditions, or restricts what others allow. Without a policy that allows, nothing is
// allowed; every policy that matches must agree: deny wins, and the highest tier wins.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=ap,categories=writ
// +kubebuilder:printcolumn:name="Effect",type=string,JSONPath=`.spec.effect`
// +kubebuilder:printcolumn:name="Actions",type=string,JSONPath=`.spec.matchConstraints.actions`
// +kubebuilder:printcolumn:name="Namespaces",type=string,JSONPath=`.spec.matchConstraints.namespaces`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ActionPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ActionPolicySpec   `json:"spec"`
	Status            ActionPolicyStatus `json:"status,omitempty"`
}

// The effects of a policy.
const (
	EffectAllow    = "Allow"
	EffectRestrict = "Restrict"
)

// ActionPolicySpec says what is matched and what must hold.
//
// +kubebuilder:validation:XValidation:rule="!has(self.lowerTierTo) || (has(self.platform) && self.platform)",message="lowerTierTo is for a policy of the platform team: platform must be true",fieldPath=".lowerTierTo"
// +kubebuilder:validation:XValidation:rule="!has(self.lowerTierTo) || !has(self.effect) || self.effect == 'Allow'",message="a policy that restricts cannot lower the tier",fieldPath=".lowerTierTo"
// +kubebuilder:validation:XValidation:rule="!has(self.lowerTierTo) || !has(self.minTier)",message="minTier and lowerTierTo contradict each other",fieldPath=".lowerTierTo"
type ActionPolicySpec struct {
	// Effect is Allow, or Restrict: a policy that restricts adds conditions to what others allow, and allows nothing itself.
	// +optional
	// +kubebuilder:default=Allow
	// +kubebuilder:validation:Enum=Allow;Restrict
	Effect string `json:"effect,omitempty"`
	// Platform marks a policy of the platform team. Only who has the verb "platform" on actionpolicies may set the mark, or
	// change or delete a policy that has it.
	// +optional
	Platform bool `json:"platform,omitempty"`
	// MatchConstraints select the requests that the policy speaks about. All of them must hold.
	MatchConstraints MatchConstraints `json:"matchConstraints"`
	// Variables are computed where an expression asks for them, as "variables.NAME".
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Variables []PolicyVariable `json:"variables,omitempty"`
	// Validations must all be true.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Validations []PolicyValidation `json:"validations,omitempty"`
	// AllowedResources bound what the action's credential may do: each verb on each resource must be named. Left out: whatever
	// the catalogue gives the action.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	AllowedResources []ResourceRule `json:"allowedResources,omitempty"`
	// Windows are when it may be done: within one of them. Left out: always.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Windows []PolicyWindow `json:"windows,omitempty"`
	// Blackouts are when nothing may be done.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Blackouts []PolicyBlackout `json:"blackouts,omitempty"`
	// Scaling bounds the replicas that an action with the parameter "replicas" may ask for.
	// +optional
	Scaling *PolicyScaling `json:"scaling,omitempty"`
	// BlastRadius bounds how much is touched at once.
	// +optional
	BlastRadius *BlastRadius `json:"blastRadius,omitempty"`
	// Limits bound how often, and how many at once.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=16
	Limits []PolicyLimit `json:"limits,omitempty"`
	// Approvals is how many approvers must agree; 1 or more makes the tier medium at least. The highest number wins.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=8
	Approvals int32 `json:"approvals,omitempty"`
	// MinTier raises the tier.
	// +optional
	// +kubebuilder:validation:Enum=low;medium;high
	MinTier string `json:"minTier,omitempty"`
	// LowerTierTo lowers the tier that the content demands, but for a protected target. The cluster's own policy has to agree.
	// +optional
	// +kubebuilder:validation:Enum=low;medium
	LowerTierTo string `json:"lowerTierTo,omitempty"`
	// OnMiss is what becomes of a change where the prediction does not come true in time: none leaves it, undo has the hub ask for
	// its inverse, which is judged and approved like any other. Undo wins.
	// +optional
	// +kubebuilder:default=none
	// +kubebuilder:validation:Enum=none;undo
	OnMiss string `json:"onMiss,omitempty"`
	// GitOps is what becomes of a change to what Argo CD, Flux or Helm owns, who would put it back: refuse; lease, which has the hub put
	// it back once the time for relaxed guards is over; or notify, which lets it stand and tells the first group. The strictest that any
	// policy says counts, in that order; where none says anything, the change is refused.
	// +optional
	// +kubebuilder:validation:Enum=refuse;lease;notify
	GitOps string `json:"gitOps,omitempty"`
}

// What becomes of a change to what a GitOps tool owns.
const (
	GitOpsRefuse = "refuse"
	GitOpsLease  = "lease"
	GitOpsNotify = "notify"
)

// What becomes of a change whose prediction did not come true.
const (
	OnMissNone = "none"
	OnMissUndo = "undo"
)

// MatchConstraints select requests. A name that ends with "*" stands for all that begin so; "*" for all.
//
// +kubebuilder:validation:XValidation:rule="has(self.clusters) || has(self.clusterSelector)",message="name clusters, or select them by clusterSelector"
type MatchConstraints struct {
	// Actions are names of the catalogue.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^([a-z0-9][-a-z0-9]*)?\*?$`
	Actions []string `json:"actions"`
	// AgentClasses selects by agent class; people have the class "". Left out: any.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^([a-z0-9][-a-z0-9]*)?\*?$`
	AgentClasses []string `json:"agentClasses,omitempty"`
	// Clusters selects by name. Left out: those that clusterSelector selects.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^([a-z0-9][-a-z0-9]*)?\*?$`
	Clusters []string `json:"clusters,omitempty"`
	// ClusterSelector selects by the labels of the Cluster objects.
	// +optional
	ClusterSelector *metav1.LabelSelector `json:"clusterSelector,omitempty"`
	// Namespaces selects by the target's namespace; a target of the whole cluster has "".
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^([a-z0-9][-a-z0-9]*)?\*?$`
	Namespaces []string `json:"namespaces"`
	// Kinds selects by the target's kind, such as "Deployment". Left out: any.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:Pattern=`^([A-Z][A-Za-z0-9]*)?\*?$`
	Kinds []string `json:"kinds,omitempty"`
}

// PolicyVariable is a value that expressions share.
type PolicyVariable struct {
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-zA-Z_][a-zA-Z0-9_]*$`
	Name string `json:"name"`
	// Expression is CEL, and may ask for the variables before it.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression"`
}

// PolicyValidation is one condition.
type PolicyValidation struct {
	// Expression is CEL over action, target, parameters, observed, cluster, clusterLabels, agentClass, requester, baseline, now
	// and variables.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Expression string `json:"expression"`
	// Message is what the requester reads where the expression is false.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
	// MessageExpression is CEL that makes the message; where it fails, message counts.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	MessageExpression string `json:"messageExpression,omitempty"`
}

// ResourceRule names verbs on resources, as a rule of RBAC does; "*" is all.
type ResourceRule struct {
	// APIGroups are API groups; "" is the core group.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=253
	APIGroups []string `json:"apiGroups"`
	// Resources are plural names, with a subresource where one is meant: "deployments/scale".
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	Resources []string `json:"resources"`
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=63
	Verbs []string `json:"verbs"`
}

// PolicyWindow is a time that comes again and again.
type PolicyWindow struct {
	// Schedule is when it begins: a cron line of five fields, as a CronJob has it.
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[0-9A-Za-z*/,?-]+( +[0-9A-Za-z*/,?-]+){4}$`
	Schedule string `json:"schedule"`
	// Duration is how long it stays open: 1m to 168h.
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+h)?([0-9]+m)?([0-9]+s)?$`
	Duration string `json:"duration"`
	// TimeZone is a name of the IANA database, such as Europe/Berlin. Left out: UTC.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
}

// PolicyBlackout is a time in which nothing may be done: once, or again and again.
//
// +kubebuilder:validation:XValidation:rule="has(self.from) == has(self.until) && has(self.schedule) == has(self.duration)",message="from goes with until, schedule with duration"
// +kubebuilder:validation:XValidation:rule="has(self.from) != has(self.schedule)",message="from and until, or schedule and duration"
// +kubebuilder:validation:XValidation:rule="!has(self.timeZone) || has(self.schedule)",message="timeZone goes with schedule; from and until carry their own"
type PolicyBlackout struct {
	// Reason is what the requester reads.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Reason string `json:"reason"`
	// From is when it begins, in RFC 3339.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})$`
	From string `json:"from,omitempty"`
	// Until is when it ends, in RFC 3339.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})$`
	Until string `json:"until,omitempty"`
	// Schedule is when it begins each time: a cron line of five fields.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[0-9A-Za-z*/,?-]+( +[0-9A-Za-z*/,?-]+){4}$`
	Schedule string `json:"schedule,omitempty"`
	// Duration is how long it lasts each time: 1m to 168h.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+h)?([0-9]+m)?([0-9]+s)?$`
	Duration string `json:"duration,omitempty"`
	// TimeZone is a name of the IANA database. Left out: UTC.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
}

// PolicyScaling bounds the replicas asked for.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",message="minReplicas is above maxReplicas",fieldPath=".minReplicas"
type PolicyScaling struct {
	// +optional
	// +kubebuilder:validation:Minimum=0
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	// +optional
	// +kubebuilder:validation:Minimum=0
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`
	// Current bounds the replicas by those that there are now.
	// +optional
	Current *PolicyShare `json:"current,omitempty"`
	// Baseline bounds them by the median of what the hub saw in the last seven days, once an hour at most.
	// +optional
	Baseline *PolicyShare `json:"baseline,omitempty"`
}

// PolicyShare is a part of a number, in percent of it; more than 100 is more than the number.
//
// +kubebuilder:validation:XValidation:rule="!has(self.minPercent) || !has(self.maxPercent) || self.minPercent <= self.maxPercent",message="minPercent is above maxPercent",fieldPath=".minPercent"
type PolicyShare struct {
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	MinPercent *int32 `json:"minPercent,omitempty"`
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	MaxPercent *int32 `json:"maxPercent,omitempty"`
}

// BlastRadius bounds how much is touched at once.
type BlastRadius struct {
	// MaxPodsPercent is the share of the target workload's pods that the action may touch.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MaxPodsPercent *int32 `json:"maxPodsPercent,omitempty"`
	// MaxClustersPercent is the share of the fleet's clusters in which actions that this policy matches may be under way at
	// once; one cluster always may.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	MaxClustersPercent *int32 `json:"maxClustersPercent,omitempty"`
	// HonourDisruptionBudgets demands that the PodDisruptionBudgets over the target's pods have room.
	// +optional
	HonourDisruptionBudgets bool `json:"honourDisruptionBudgets,omitempty"`
}

// PolicyLimit bounds how often, and how many at once. Each limit counts the requests that the policy matches.
//
// +kubebuilder:validation:XValidation:rule="has(self.rate) || has(self.concurrent)",message="rate, or concurrent, or both"
type PolicyLimit struct {
	// Name is what a refusal says, and under what is counted.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	Name string `json:"name"`
	// Per is what is counted apart; Target is one object in one cluster. Left out: all together.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=5
	// +kubebuilder:validation:items:Enum=AgentClass;Cluster;Namespace;Action;Target
	Per []string `json:"per,omitempty"`
	// +optional
	Rate *PolicyRate `json:"rate,omitempty"`
	// Concurrent is how many may be under way: from here to the receipt.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Concurrent *int32 `json:"concurrent,omitempty"`
}

// PolicyRate is so many requests within a time that moves along.
type PolicyRate struct {
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Requests int32 `json:"requests"`
	// Within is a duration of 1s to 168h.
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:Pattern=`^([0-9]+h)?([0-9]+m)?([0-9]+s)?$`
	Within string `json:"within"`
}

// ActionPolicyStatus is written by the hub.
type ActionPolicyStatus struct {
	// Conditions has Ready: False where the policy does not compile, with the position.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ActionPolicyList is a list of policies.
//
// +kubebuilder:object:root=true
type ActionPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ActionPolicy `json:"items"`
}
