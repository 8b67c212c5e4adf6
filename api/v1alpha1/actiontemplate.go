package v1alpha1

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/template"
)

// ActionTemplate declares an action of this site's own, without Go: it sets fields of objects of one kind to what CEL expressions
// compute. Its name is the action's. It is in force in a cluster only where that cluster's admin allows it, content and all.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=at,categories=writ
// +kubebuilder:printcolumn:name="Kind",type=string,JSONPath=`.spec.target.kind`
// +kubebuilder:printcolumn:name="Summary",type=string,JSONPath=`.spec.summary`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Digest",type=string,JSONPath=`.status.digest`,priority=1
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^site-[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$')",message="the name begins with site- and has at most 47 of a-z, 0-9 and -"
type ActionTemplate struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ActionTemplateSpec   `json:"spec"`
	Status            ActionTemplateStatus `json:"status,omitempty"`
}

// ActionTemplateSpec says what the action takes, what it looks at and what it sets. The API server gives it no defaults: its digest
// is of what is written.
type ActionTemplateSpec struct {
	// Summary is what it does, in one line.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:Pattern=`^[^\x00-\x1f]*[^\x00-\x20][^\x00-\x1f]*$`
	Summary string `json:"summary"`
	// Target is the one kind that the action takes.
	Target TemplateTarget `json:"target"`
	// Parameters are a subset of JSON Schema. What is not named is refused.
	// +optional
	Parameters *TemplateParameters `json:"parameters,omitempty"`
	// Observe are places in the target that expressions may look at, besides the fields, as observed.NAME; null where there is
	// nothing. What lies there is told to the hub.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	Observe []TemplatePlace `json:"observe,omitempty"`
	// Validations must all be true before anything is done.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	Validations []TemplateValidation `json:"validations,omitempty"`
	// Fields are what the action sets. None may lie within another.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Fields []TemplateField `json:"fields"`
	// Inverse are the parameters with which the action puts back what it changed, as CEL over parameters and observed, as they were
	// before. Left out: the parameters that fields are set to as they are.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Inverse map[string]TemplateExpression `json:"inverse,omitempty"`
	// MinTier is medium, or high. Left out: medium. Only a policy of the platform team lowers it.
	// +optional
	// +kubebuilder:validation:Enum=medium;high
	MinTier string `json:"minTier,omitempty"`
	// WithinSeconds is how long the fields may take to be as computed. Left out: 60.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=3600
	WithinSeconds int64 `json:"withinSeconds,omitempty"`
}

// TemplateExpression is CEL.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=4096
type TemplateExpression string

// TemplatePath is a JSON pointer (RFC 6901), through objects: "/spec/logLevel".
//
// +kubebuilder:validation:MaxLength=512
// +kubebuilder:validation:Pattern=`^(/([^/~\x00-\x1f]|~[01])+){1,12}$`
type TemplatePath string

// TemplateName is a name that expressions can say.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:Pattern=`^[a-zA-Z][a-zA-Z0-9_]*$`
type TemplateName string

// TemplateTarget is a kind that has a namespace, with the resource by which the API server knows it. Never of rights, webhooks,
// definitions of kinds, policies of admission, Secrets, accounts or namespaces.
type TemplateTarget struct {
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?v[0-9]+((alpha|beta)[0-9]+)?$`
	APIVersion string `json:"apiVersion"`
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Z][A-Za-z0-9]*$`
	Kind string `json:"kind"`
	// Resource is the kind's plural, such as "deployments"; no subresource.
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[a-z][a-z0-9]*$`
	Resource string `json:"resource"`
}

// TemplatePlace names a place in the target.
type TemplatePlace struct {
	Name TemplateName `json:"name"`
	Path TemplatePath `json:"path"`
}

// TemplateField is a field that the action sets; to null removes it. Whatever was there is replaced as a whole.
type TemplateField struct {
	Name TemplateName `json:"name"`
	Path TemplatePath `json:"path"`
	// Expression is CEL over parameters and observed.
	Expression TemplateExpression `json:"expression"`
}

// TemplateValidation is one condition.
type TemplateValidation struct {
	// Expression is CEL over parameters and observed.
	Expression TemplateExpression `json:"expression"`
	// Message is what the requester reads where it is false.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// TemplateParameters are what the action takes.
type TemplateParameters struct {
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	Properties map[string]TemplateParameter `json:"properties,omitempty"`
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=32
	Required []TemplateName `json:"required,omitempty"`
}

// TemplateParameter is a value, an array of values, or an object with values under free keys.
type TemplateParameter struct {
	// +kubebuilder:validation:Enum=string;integer;number;boolean;array;object
	Type          string `json:"type"`
	TemplateBound `json:",inline"`
	// +optional
	Items *TemplateValue `json:"items,omitempty"`
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	MaxItems *int64 `json:"maxItems,omitempty"`
	// +optional
	AdditionalProperties *TemplateValue `json:"additionalProperties,omitempty"`
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=256
	MaxProperties *int64 `json:"maxProperties,omitempty"`
}

// TemplateValue is a single value.
type TemplateValue struct {
	// +kubebuilder:validation:Enum=string;integer;number;boolean
	Type          string `json:"type"`
	TemplateBound `json:",inline"`
}

// TemplateBound is what bounds a value.
type TemplateBound struct {
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Description string `json:"description,omitempty"`
	// Nullable lets null be a value too.
	// +optional
	Nullable bool `json:"nullable,omitempty"`
	// Enum is of a string.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=253
	Enum []string `json:"enum,omitempty"`
	// Pattern is of a string, in the syntax of RE2.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Pattern string `json:"pattern,omitempty"`
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=8192
	MinLength *int64 `json:"minLength,omitempty"`
	// MaxLength is 1024 where it is left out.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=8192
	MaxLength *int64 `json:"maxLength,omitempty"`
	// +optional
	// +kubebuilder:validation:Minimum=-9007199254740992
	// +kubebuilder:validation:Maximum=9007199254740992
	Minimum *int64 `json:"minimum,omitempty"`
	// +optional
	// +kubebuilder:validation:Minimum=-9007199254740992
	// +kubebuilder:validation:Maximum=9007199254740992
	Maximum *int64 `json:"maximum,omitempty"`
}

// ActionTemplateStatus says whether it compiles.
type ActionTemplateStatus struct {
	// Digest is of the name and the spec: what a cluster's admin allows is the template of this digest, and no other.
	// +optional
	Digest string `json:"digest,omitempty"`
	// Conditions has Ready: it compiles, and can be asked for.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ActionTemplateList is a list of templates.
//
// +kubebuilder:object:root=true
type ActionTemplateList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ActionTemplate `json:"items"`
}

// Definition is the template as orders carry it. It is not checked.
func (t *ActionTemplate) Definition() (template.Definition, error) {
	spec, err := json.Marshal(t.Spec)
	if err != nil {
		return template.Definition{}, err
	}
	return template.Read(t.Name, spec)
}
