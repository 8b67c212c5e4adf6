package action

import (
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/writ-dev/writ/api/catalogue"
)

// mcpForm prints an action as a tool of the Model Context Protocol.
const mcpForm = "mcp"

// tool is the part of a tool (MCP 2025-06-18, "Tool") that says what it takes.
type tool struct {
	Name        string             `json:"name"`
	Description string             `json:"description"`
	InputSchema *jsonschema.Schema `json:"inputSchema"`
}

// toolOf is an action as a tool that asks for it: of which cluster, on which target, with which parameters, and why.
func toolOf(a *catalogue.Action) tool {
	text := func(description string, values ...any) *jsonschema.Schema {
		return &jsonschema.Schema{Type: "string", Description: description, Enum: values}
	}
	var versions, kinds []any
	for _, k := range a.Kinds {
		kinds = append(kinds, k.Kind)
		versions = appendNew(versions, k.APIVersion)
	}
	target := strict(map[string]*jsonschema.Schema{"apiVersion": text("", versions...), "kind": text("", kinds...), "name": text("")},
		"apiVersion", "kind", "name")
	if !a.ClusterScoped() {
		target.Properties["namespace"] = text("")
		target.Required = append(target.Required, "namespace")
	}
	properties := map[string]*jsonschema.Schema{"cluster": text("name of the cluster"), "target": target,
		"reason": text("why, for the people who approve it")}
	required := []string{"cluster", "target", "reason"}
	if len(a.Schema.Properties) > 0 {
		properties["parameters"] = a.Schema
		required = append(required, "parameters")
	}
	return tool{a.Name, a.Summary + ". Tier: " + a.Words.Tiers + ". Predicted: " + a.Words.Prediction + ". Undone by: " + a.Words.Inverse + ".",
		strict(properties, required...)}
}

func strict(properties map[string]*jsonschema.Schema, required ...string) *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", Properties: properties, Required: required,
		AdditionalProperties: &jsonschema.Schema{Not: &jsonschema.Schema{}}}
}

func appendNew(values []any, value any) []any {
	for _, v := range values {
		if v == value {
			return values
		}
	}
	return append(values, value)
}
