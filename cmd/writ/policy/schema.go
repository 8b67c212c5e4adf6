package policy

import (
	"context"
	"encoding/json"
	"fmt"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/internal/apply"
)

// schema is what the API server holds every ActionPolicy to: with the API server's own code, from the same definition.
type schema struct {
	structural *structuralschema.Structural
	fields     validation.SchemaValidator
	rules      *cel.Validator
}

func newSchema() (*schema, error) {
	objects, err := apply.Parse(deployhub.CRDs())
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if o.GetName() != "actionpolicies.writ.dev" {
			continue
		}
		raw, err := yaml.Marshal(o.Object)
		if err != nil {
			return nil, err
		}
		var definition apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(raw, &definition); err != nil {
			return nil, err
		}
		return schemaOf(definition.Spec.Versions[0].Schema.OpenAPIV3Schema)
	}
	return nil, fmt.Errorf("this program has no definition of ActionPolicy")
}

func schemaOf(properties *apiextensionsv1.JSONSchemaProps) (*schema, error) {
	var internal apiextensions.JSONSchemaProps
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(properties, &internal, nil); err != nil {
		return nil, err
	}
	structural, err := structuralschema.NewStructural(&internal)
	if err != nil {
		return nil, err
	}
	fields, _, err := validation.NewSchemaValidator(&internal)
	if err != nil {
		return nil, err
	}
	return &schema{structural, fields, cel.NewValidator(structural, true, celconfig.PerCallLimit)}, nil
}

// refuses is what the API server would say against a policy.
func (s *schema) refuses(raw json.RawMessage) (field.ErrorList, error) {
	var object map[string]any
	if err := utiljson.Unmarshal(raw, &object); err != nil { // whole numbers stay whole
		return nil, err
	}
	faults := validation.ValidateCustomResource(nil, object, s.fields)
	faults = append(faults, listtype.ValidateListSetsAndMaps(nil, s.structural, object)...)
	if len(faults) > 0 {
		return faults, nil
	}
	faults, _ = s.rules.Validate(context.Background(), nil, s.structural, object, nil, celconfig.RuntimeCELCostBudget)
	return faults, nil
}
