// Command schemas writes what an API server says of its kinds as JSON schemas, one file each, as kubeconform reads them: nothing
// is fetched from elsewhere.
//
//	schemas -out DIR     DIR/KIND-GROUP-VERSION.json, strict: unknown fields are errors
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"k8s.io/client-go/discovery"

	"github.com/writ-dev/writ/internal/world/cluster"
)

func main() {
	out := flag.String("out", "", "the folder to write to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	count, err := run(ctx, *out)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "schemas:", err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stderr, "%d kinds of a Kubernetes API server\n", count)
}

func run(ctx context.Context, out string) (int, error) {
	c, err := cluster.Start(ctx, cluster.Options{Name: "schemas", Progress: os.Stderr})
	if err != nil {
		return 0, err
	}
	defer c.Stop()
	client, err := discovery.NewDiscoveryClientForConfig(c.RESTConfig())
	if err != nil {
		return 0, err
	}
	raw, err := client.RESTClient().Get().AbsPath("/openapi/v2").SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		return 0, err
	}
	return write(raw, out)
}

// schema is JSON Schema as OpenAPI 2 has it.
type schema map[string]any

// kind is what a definition says that it is for.
type kind struct{ Group, Version, Kind string }

func write(openapi []byte, out string) (count int, err error) {
	var document struct{ Definitions map[string]schema }
	if err := json.Unmarshal(openapi, &document); err != nil {
		return 0, err
	}
	for _, definition := range document.Definitions {
		strict(definition)
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return 0, err
	}
	for name, definition := range document.Definitions {
		raw, err := json.Marshal(definition["x-kubernetes-group-version-kind"])
		if err != nil {
			return 0, err
		}
		var kinds []kind
		if err := json.Unmarshal(raw, &kinds); err != nil {
			return 0, err
		}
		if len(kinds) != 1 {
			continue // not an object, or one of every group
		}
		whole, err := json.Marshal(alone(name, document.Definitions))
		if err != nil {
			return 0, err
		}
		if err := os.WriteFile(filepath.Join(out, file(kinds[0])), whole, 0o644); err != nil {
			return 0, err
		}
		count++
	}
	return count, nil
}

// file is what kubeconform looks for: {{.ResourceKind}}{{.KindSuffix}}.json.
func file(k kind) string {
	parts := []string{strings.ToLower(k.Kind)}
	if k.Group != "" {
		parts = append(parts, strings.Split(k.Group, ".")[0])
	}
	return strings.Join(append(parts, k.Version), "-") + ".json"
}

// alone is a definition with all that it refers to.
func alone(name string, all map[string]schema) schema {
	needed := map[string]schema{}
	var collect func(any)
	collect = func(v any) {
		switch v := v.(type) {
		case schema:
			collect(map[string]any(v))
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				name := strings.TrimPrefix(ref, "#/definitions/")
				if needed[name] == nil {
					needed[name] = all[name]
					collect(all[name])
				}
			}
			for _, child := range v {
				collect(child)
			}
		case []any:
			for _, child := range v {
				collect(child)
			}
		}
	}
	needed[name] = all[name]
	collect(all[name])
	return schema{"$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/" + name, "definitions": needed}
}

// strict refuses unknown fields of objects whose fields are known, and lets numbers in where either may stand.
func strict(s map[string]any) {
	if s["format"] == "int-or-string" {
		delete(s, "format")
		s["type"] = []string{"string", "integer"}
	}
	if properties, ok := s["properties"].(map[string]any); ok {
		if _, open := s["additionalProperties"]; !open && s["x-kubernetes-preserve-unknown-fields"] == nil {
			s["additionalProperties"] = false
		}
		for _, property := range properties {
			if property, ok := property.(map[string]any); ok {
				strict(property)
			}
		}
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if child, ok := s[key].(map[string]any); ok {
			strict(child)
		}
	}
}
