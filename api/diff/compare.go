package diff

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// comparison walks two values side by side and collects what differs, in the order of the paths.
type comparison struct {
	Options
	fields []Field
}

// ours are the fields that the API server and controllers write for themselves. They move without anybody having changed
// anything, and a dry run cannot foretell them.
var ours = map[string]bool{
	"status": true, "metadata.managedFields": true, "metadata.resourceVersion": true, "metadata.generation": true,
	"metadata.creationTimestamp": true, "metadata.uid": true, "metadata.selfLink": true, "kind": true, "apiVersion": true,
}

// lastApplied is kubectl's copy of a whole object, and as secret as that.
const lastApplied = `metadata.annotations["kubectl.kubernetes.io/last-applied-configuration"]`

// segment is one step of a path: the key of an object, or the place in a list.
type segment struct {
	key  string
	list bool
}

// compare adds what differs between two values at a path; nil stands for no value.
func (c *comparison) compare(path []segment, before, after any) {
	name := render(path)
	if ours[name] && (!c.Status || name != "status") || reflect.DeepEqual(before, after) {
		return
	}
	if c.secret(path, name) {
		c.add(name, c.hide(before), c.hide(after))
		return
	}
	left, leftObject := before.(map[string]any)
	right, rightObject := after.(map[string]any)
	if (leftObject || before == nil) && (rightObject || after == nil) {
		c.objects(path, left, right)
		return
	}
	leftList, leftOK := before.([]any)
	rightList, rightOK := after.([]any)
	if (leftOK || before == nil) && (rightOK || after == nil) {
		c.lists(path, leftList, rightList)
		return
	}
	c.add(name, c.show(before), c.show(c.timeless(after)))
}

func (c *comparison) objects(path []segment, before, after map[string]any) {
	if len(before) == 0 && len(after) == 0 { // one is there and empty, the other is not there
		c.add(render(path), c.presence(before), c.presence(after))
		return
	}
	keys := map[string]bool{}
	for key := range before {
		keys[key] = true
	}
	for key := range after {
		keys[key] = true
	}
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		c.compare(append(path[:len(path):len(path)], segment{key: key}), before[key], after[key])
	}
}

func (c *comparison) presence(value map[string]any) string {
	if value == nil {
		return ""
	}
	return "{}"
}

// lists compares element by element: by their names where all have one and the order is the same, else by their place.
func (c *comparison) lists(path []segment, before, after []any) {
	if len(before) == 0 && len(after) == 0 {
		return
	}
	if left, right, ok := byName(before, after); ok {
		seen := map[string]bool{}
		for _, name := range append(slices.Clone(left.names), right.names...) {
			if !seen[name] {
				seen[name] = true
				c.compare(append(path[:len(path):len(path)], segment{strconv.Quote(name), true}), left.of[name], right.of[name])
			}
		}
		return
	}
	for i := range max(len(before), len(after)) {
		var left, right any
		if i < len(before) {
			left = before[i]
		}
		if i < len(after) {
			right = after[i]
		}
		c.compare(append(path[:len(path):len(path)], segment{strconv.Itoa(i), true}), left, right)
	}
}

// named is a list of objects by their names.
type named struct {
	names []string
	of    map[string]any
}

func byName(before, after []any) (left, right named, ok bool) {
	left, ok = namesOf(before)
	if !ok {
		return left, right, false
	}
	right, ok = namesOf(after)
	return left, right, ok && slices.Equal(common(left, right), common(right, left))
}

func namesOf(list []any) (named, bool) {
	n := named{of: map[string]any{}}
	for _, element := range list {
		object, _ := element.(map[string]any)
		name, ok := object["name"].(string)
		if _, twice := n.of[name]; !ok || twice {
			return n, false
		}
		n.names, n.of[name] = append(n.names, name), element
	}
	return n, true
}

// common are the names of one that the other has too, in the order of the one.
func common(one, other named) (names []string) {
	for _, name := range one.names {
		if _, ok := other.of[name]; ok {
			names = append(names, name)
		}
	}
	return names
}

// secret reports whether a value is not to be shown: what a Secret holds, and what somebody has written into an environment
// variable, which often enough is a password.
func (c *comparison) secret(path []segment, name string) bool {
	if name == lastApplied {
		return true
	}
	if c.Kind == "Secret" && len(path) > 1 && (path[0].key == "data" || path[0].key == "stringData") {
		return true
	}
	n := len(path)
	return n >= 3 && path[n-1].key == "value" && path[n-2].list && path[n-3].key == "env" && !path[n-3].list
}

func (c *comparison) add(path, before, after string) {
	if before == after {
		return
	}
	c.fields = append(c.fields, Field{Path: clip(path, maxPath), Before: before, After: after})
}

func (c *comparison) show(value any) string {
	if value == nil {
		return ""
	}
	return clip(encode(value), maxValue)
}

// timeless takes the moment of the change out of what it writes. What was there before is as it is: it may be of the same second.
func (c *comparison) timeless(value any) any {
	if said, ok := value.(string); ok && c.At != "" {
		return strings.ReplaceAll(said, c.At, "<"+moment+">")
	}
	return value
}

func (c *comparison) hide(value any) string {
	if value == nil {
		return ""
	}
	return hidden(c.Veil, encode(value))
}

// render writes a path as people do: spec.template.spec.containers["main"].image.
func render(path []segment) string {
	var out strings.Builder
	for _, s := range path {
		switch {
		case s.list:
			out.WriteString("[" + s.key + "]")
		case plain(s.key):
			if out.Len() > 0 {
				out.WriteByte('.')
			}
			out.WriteString(s.key)
		default:
			out.WriteString("[" + strconv.Quote(s.key) + "]")
		}
	}
	return out.String()
}

func plain(key string) bool {
	return key != "" && !strings.ContainsFunc(key, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '$'
	})
}

// decode reads an object. One without fields is none: there is no path by which a change of it could be named.
func decode(raw []byte) (any, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value map[string]any
	if err := decoder.Decode(&value); err != nil {
		return nil, fmt.Errorf("no JSON object: %w", err)
	}
	if len(value) == 0 {
		return nil, nil
	}
	return value, nil
}

// encode writes a value in printable characters: control characters beyond those that JSON escapes are escaped too.
func encode(value any) string {
	raw, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Sprintf("diff: %v", err)) // it was JSON a moment ago
	}
	var out strings.Builder
	for _, r := range string(raw) {
		if r >= 0x7f && r < 0xa0 {
			fmt.Fprintf(&out, `\u%04x`, r)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}
