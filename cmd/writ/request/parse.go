package request

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// shortNames are those that kubectl knows for the kinds of the catalogue.
var shortNames = map[string]string{"deploy": "deployments", "sts": "statefulsets", "ds": "daemonsets", "rs": "replicasets"}

func actionNamed(name string) (*catalogue.Action, error) {
	action, ok := catalogue.Actions()[name]
	if !ok {
		return nil, fmt.Errorf("the catalogue has no action %q; it has %s", name, strings.Join(catalogue.Names(), ", "))
	}
	return action, nil
}

// parseTarget reads KIND/NAMESPACE/NAME; the kind is one that the action takes, in any of the ways that kubectl knows it by.
func parseTarget(action *catalogue.Action, text string) (v1alpha1.Target, error) {
	parts := strings.Split(text, "/")
	if len(parts) != 3 || slices.Contains(parts, "") {
		return v1alpha1.Target{}, fmt.Errorf("target %q: wanted KIND/NAMESPACE/NAME, such as deployment/shop/checkout", text)
	}
	word := strings.ToLower(parts[0])
	var names []string
	for _, kind := range action.Kinds {
		if word == strings.ToLower(kind.Kind) || word == kind.Resource || shortNames[word] == kind.Resource {
			return v1alpha1.Target{APIVersion: kind.APIVersion, Kind: kind.Kind, Namespace: parts[1], Name: parts[2]}, nil
		}
		names = append(names, strings.ToLower(kind.Kind))
	}
	return v1alpha1.Target{}, fmt.Errorf("target %q: %s takes a %s", text, action.Name, strings.Join(names, ", "))
}

// parseParameters reads NAME=VALUE pairs by the types of the action's schema.
func parseParameters(action *catalogue.Action, pairs []string) (*apiextensionsv1.JSON, error) {
	values := map[string]json.RawMessage{}
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, fmt.Errorf("parameter %q: wanted NAME=VALUE", pair)
		}
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("parameter %q is said twice", name)
		}
		schema := action.Schema.Properties[name]
		if schema == nil {
			return nil, fmt.Errorf("%s has no parameter %q; %s", action.Name, name, takes(action))
		}
		raw := json.RawMessage(value)
		if schema.Type == "string" || !json.Valid(raw) {
			raw, _ = json.Marshal(value) // the schema says what is wrong with it
		}
		values[name] = raw
	}
	if len(values) == 0 {
		return nil, nil
	}
	raw, err := json.Marshal(values)
	return &apiextensionsv1.JSON{Raw: raw}, err
}

func takes(action *catalogue.Action) string {
	var names []string
	for name := range action.Schema.Properties {
		names = append(names, name)
	}
	if len(names) == 0 {
		return "it takes none"
	}
	slices.Sort(names)
	return "it takes " + strings.Join(names, ", ")
}

// check judges a request by the catalogue, as the hub will.
func check(object *v1alpha1.ActionRequest) error {
	spec := object.Spec
	action, err := actionNamed(spec.Action)
	if err != nil {
		return err
	}
	for _, field := range []struct {
		name     string
		problems []string
	}{
		{"cluster", validation.IsDNS1123Label(spec.Cluster)},
		{"the target's namespace", validation.IsDNS1123Label(spec.Target.Namespace)},
		{"the target's name", validation.IsDNS1123Subdomain(spec.Target.Name)},
	} {
		if len(field.problems) > 0 {
			return fmt.Errorf("%s: %s", field.name, field.problems[0])
		}
	}
	target := catalogue.Target{APIVersion: spec.Target.APIVersion, Kind: spec.Target.Kind}
	if _, ok := catalogue.Find(action.Kinds, target); !ok {
		return fmt.Errorf("%s does not take a %s of %s", action.Name, spec.Target.Kind, spec.Target.APIVersion)
	}
	var parameters json.RawMessage
	if spec.Parameters != nil {
		parameters = spec.Parameters.Raw
	}
	if err := action.Validate(parameters); err != nil {
		return fmt.Errorf("parameters of %s: %w; %s", action.Name, err, takes(action))
	}
	return nil
}
