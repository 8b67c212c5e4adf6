package catalogue

import (
	"encoding/json"
	"fmt"

	"github.com/google/jsonschema-go/jsonschema"
	rbacv1 "k8s.io/api/rbac/v1"
	kjson "sigs.k8s.io/json"
)

// The patch types used, as k8s.io/apimachinery names them.
const (
	mergePatch = "application/merge-patch+json"
	jsonPatch  = "application/json-patch+json"
)

// objectMeta is the part of an object's metadata that preconditions look at.
type objectMeta struct {
	UID             string            `json:"uid"`
	ResourceVersion string            `json:"resourceVersion"`
	Generation      int64             `json:"generation"`
	Annotations     map[string]string `json:"annotations"`
	OwnerReferences []struct {
		UID        string `json:"uid"`
		Controller bool   `json:"controller"`
	} `json:"ownerReferences"`
}

// locks is what a merge patch carries so that the API server refuses it if the object has changed since it was read.
func (m objectMeta) locks() map[string]string {
	return map[string]string{"uid": m.UID, "resourceVersion": m.ResourceVersion}
}

func (m objectMeta) controlledBy(uid string) bool {
	for _, owner := range m.OwnerReferences {
		if owner.Controller && owner.UID == uid {
			return true
		}
	}
	return false
}

// rule is one RBAC rule; name is empty for verbs that Kubernetes cannot bind to a name (list, create).
func rule(k Kind, subresource, name string, verbs ...string) rbacv1.PolicyRule {
	resource := k.Resource
	if subresource != "" {
		resource += "/" + subresource
	}
	r := rbacv1.PolicyRule{APIGroups: []string{k.Group()}, Resources: []string{resource}, Verbs: verbs}
	if name != "" {
		r.ResourceNames = []string{name}
	}
	return r
}

func object(properties map[string]*jsonschema.Schema, required ...string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", Properties: properties, Required: required,
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}}}
}

func integer(description string, minimum, maximum float64) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Description: description, Minimum: &minimum, Maximum: &maximum}
}

// parameters decodes what Validate has accepted.
func parameters[T any](c Case) T {
	var p T
	_ = json.Unmarshal(orEmpty(c.Parameters), &p)
	return p
}

// encode marshals values of this package's own making, which cannot fail.
func encode(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("catalogue: %v", err))
	}
	return raw
}

// noDuplicateKeys refuses a JSON object that says a thing twice.
func noDuplicateKeys(raw json.RawMessage) error {
	var value any
	strict, err := kjson.UnmarshalStrict(orEmpty(raw), &value)
	if err != nil {
		return err
	}
	if len(strict) > 0 {
		return strict[0]
	}
	return nil
}
