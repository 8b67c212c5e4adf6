package request

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "sigs.k8s.io/json"

	"github.com/writ-dev/writ/api/v1alpha1"
)

// maxFile bounds a file with a request, in bytes.
const maxFile = 256 << 10

// Decode reads one ActionRequest from YAML or JSON. Unknown and duplicate fields, and what only the hub writes, are errors that
// name the line.
func Decode(raw []byte) (*v1alpha1.ActionRequest, error) {
	object := &v1alpha1.ActionRequest{}
	return object, DecodeInto(raw, "ActionRequest", object, "status", "spec.requester", "spec.agentClass", "spec.rollout", "spec.undoes")
}

// DecodeInto reads one object of a kind of ours, in the same way; written are the fields that only the hub writes.
func DecodeInto(raw []byte, kind string, object runtime.Object, written ...string) error {
	decoder := yaml.NewDecoder(bytes.NewReader(raw))
	var document yaml.Node
	if err := decoder.Decode(&document); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("it is empty")
		}
		return oneLine(err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one document in it")
	}
	var value map[string]any
	if err := document.Decode(&value); err != nil { // tells of duplicate keys, with the line
		return oneLine(err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("it has no form in JSON: %w", err)
	}
	unknown, err := kjson.UnmarshalStrict(text, object)
	if err != nil {
		return wrongType(&document, err)
	}
	if len(unknown) > 0 {
		var field kjson.FieldError
		if errors.As(unknown[0], &field) {
			return at(&document, field.FieldPath(), "unknown field %q", field.FieldPath())
		}
		return unknown[0]
	}
	return ours(&document, kind, object, written)
}

// ours checks what the object is, and that it has nothing that only the hub writes.
func ours(document *yaml.Node, kind string, object runtime.Object, written []string) error {
	version, is := v1alpha1.GroupVersion.String(), object.GetObjectKind().GroupVersionKind()
	if is != v1alpha1.GroupVersion.WithKind(kind) {
		return fmt.Errorf("wanted kind %s of %s, not %q of %q", kind, version, is.Kind, is.GroupVersion())
	}
	for _, path := range written {
		if find(document, path) != nil {
			return at(document, path, "%s is written by the hub: leave it out", path)
		}
	}
	return nil
}

func wrongType(document *yaml.Node, err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return at(document, wrong.Field, "%s: a %s is not wanted here", wrong.Field, wrong.Value)
	}
	return err
}

// at says on which line a field is.
func at(document *yaml.Node, path, format string, args ...any) error {
	problem := fmt.Sprintf(format, args...)
	if node := find(document, path); node != nil {
		return errors.New("line " + strconv.Itoa(node.Line) + ": " + problem)
	}
	return errors.New(problem)
}

// find returns the key under which a dotted path stands; nil where there is none.
func find(node *yaml.Node, path string) (key *yaml.Node) {
	if node.Kind == yaml.DocumentNode && len(node.Content) > 0 {
		node = node.Content[0]
	}
	for name := range strings.SplitSeq(path, ".") {
		key = nil
		for i := 0; node.Kind == yaml.MappingNode && i+1 < len(node.Content); i += 2 {
			if node.Content[i].Value == name {
				key, node = node.Content[i], node.Content[i+1]
				break
			}
		}
		if key == nil {
			return nil
		}
	}
	return key
}

// oneLine flattens the YAML library's errors.
func oneLine(err error) error {
	var list *yaml.TypeError
	if errors.As(err, &list) && len(list.Errors) > 0 {
		return errors.New(list.Errors[0])
	}
	return errors.New(strings.TrimPrefix(err.Error(), "yaml: "))
}
