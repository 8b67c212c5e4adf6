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
	mergePatch     = "application/merge-patch+json"
	jsonPatch      = "application/json-patch+json"
	strategicPatch = "application/strategic-merge-patch+json"
)

// ApplyPatch is a server-side apply, which takes the fields from whoever has them.
const ApplyPatch = "application/apply-patch+yaml"

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

// text is a string of at most so many characters that matches a pattern (RE2), or anything where the pattern is empty.
func text(description, pattern string, longest int) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Description: description, Pattern: pattern, MinLength: ptr(1), MaxLength: &longest}
}

func choice(description string, values ...string) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string", Description: description}
	for _, v := range values {
		s.Enum = append(s.Enum, v)
	}
	return s
}

// maxEntries bounds what one action may change at once.
const maxEntries = 20

// entries is a map of at least one and at most maxEntries keys that match a pattern.
func entries(description, keys string, value *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", Description: description, MinProperties: ptr(1), MaxProperties: ptr(maxEntries),
		PropertyNames: &jsonschema.Schema{Pattern: keys}, AdditionalProperties: value}
}

// orNull lets null stand for the absence of a value.
func orNull(s *jsonschema.Schema) *jsonschema.Schema {
	s.Types, s.Type = []string{s.Type, "null"}, ""
	return s
}

func ptr[T any](v T) *T { return &v }

// The forms of names and of quantities.
const (
	labelName  = `^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	quantities = `^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$`
)

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
