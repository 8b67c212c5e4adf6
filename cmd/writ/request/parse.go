package request

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/site"
)

// shortNames are those that kubectl knows for the kinds of the catalogue.
var shortNames = map[string]string{"deploy": "deployments", "sts": "statefulsets", "ds": "daemonsets", "rs": "replicasets",
	"po": "pods", "svc": "services", "cm": "configmaps", "pvc": "persistentvolumeclaims", "quota": "resourcequotas", "cj": "cronjobs",
	"hpa": "horizontalpodautoscalers", "pdb": "poddisruptionbudgets", "no": "nodes", "csr": "certificatesigningrequests",
	"cert": "certificates"}

// Parse reads an action, its target and its parameters as flags say them, checked as the hub will.
func Parse(find site.Finder, name, target string, parameters []string) (*v1alpha1.RequestTemplate, error) {
	action, err := find(name)
	if err != nil {
		return nil, err
	}
	template := &v1alpha1.RequestTemplate{Action: name}
	if template.Target, err = parseTarget(action, target); err != nil {
		return nil, err
	}
	if template.Parameters, err = parseParameters(action, parameters); err != nil {
		return nil, err
	}
	return template, Check(find, template, "any")
}

// Check judges what is asked for in a cluster by the catalogue, as the hub will.
func Check(find site.Finder, template *v1alpha1.RequestTemplate, cluster string) error {
	return check(find, &v1alpha1.ActionRequest{Spec: v1alpha1.ActionRequestSpec{Cluster: cluster, Action: template.Action,
		Target: template.Target, Parameters: template.Parameters}})
}

// ReadFile reads a file, or standard input for "-", of at most a request's size.
func ReadFile(path string, stdin io.Reader) ([]byte, error) { return readFile(path, stdin) }

// parseTarget reads KIND/NAMESPACE/NAME; the kind is one that the action takes, in any of the ways that kubectl knows it by.
func parseTarget(action *catalogue.Action, text string) (v1alpha1.Target, error) {
	parts := strings.Split(text, "/")
	if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
		return v1alpha1.Target{}, fmt.Errorf("target %q: wanted KIND/NAMESPACE/NAME, such as deployment/shop/checkout", text)
	}
	word := strings.ToLower(parts[0])
	var names []string
	for _, kind := range action.Kinds {
		if word == strings.ToLower(kind.Kind) || word == kind.Resource || shortNames[word] == kind.Resource {
			return place(kind, parts, text)
		}
		names = append(names, strings.ToLower(kind.Kind))
	}
	return v1alpha1.Target{}, fmt.Errorf("target %q: %s takes a %s", text, action.Name, strings.Join(names, ", "))
}

// place wants a namespace exactly where the kind has one.
func place(kind catalogue.Kind, parts []string, text string) (v1alpha1.Target, error) {
	target := v1alpha1.Target{APIVersion: kind.APIVersion, Kind: kind.Kind, Name: parts[len(parts)-1]}
	switch {
	case kind.ClusterScoped && len(parts) == 3:
		return v1alpha1.Target{}, fmt.Errorf("target %q: a %s has no namespace: wanted KIND/NAME", text, kind.Kind)
	case !kind.ClusterScoped && len(parts) == 2:
		return v1alpha1.Target{}, fmt.Errorf("target %q: wanted KIND/NAMESPACE/NAME, such as deployment/shop/checkout", text)
	case !kind.ClusterScoped:
		target.Namespace = parts[1]
	}
	return target, nil
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
func check(find site.Finder, object *v1alpha1.ActionRequest) error {
	spec := object.Spec
	action, err := find(spec.Action)
	if err != nil {
		return err
	}
	for _, field := range []struct {
		name     string
		problems []string
	}{
		{"cluster", validation.IsDNS1123Label(spec.Cluster)},
		{"the target's namespace", namespaceProblems(spec.Target.Namespace)},
		{"the target's name", validation.IsDNS1123Subdomain(spec.Target.Name)},
	} {
		if len(field.problems) > 0 {
			return fmt.Errorf("%s: %s", field.name, field.problems[0])
		}
	}
	target := catalogue.Target{APIVersion: spec.Target.APIVersion, Kind: spec.Target.Kind}
	kind, ok := catalogue.Find(action.Kinds, target)
	if ok && kind.ClusterScoped != (spec.Target.Namespace == "") {
		return fmt.Errorf("the target's namespace: it is named exactly where the kind has one; %s", kindNeeds(kind))
	}
	if !ok {
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

func namespaceProblems(namespace string) []string {
	if namespace == "" {
		return nil
	}
	return validation.IsDNS1123Label(namespace)
}

func kindNeeds(k catalogue.Kind) string {
	if k.ClusterScoped {
		return "a " + k.Kind + " has none"
	}
	return "a " + k.Kind + " has one"
}
