package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/writ-dev/writ/api/catalogue"
)

// maxLooked bounds what is read of one list, in objects, and maxState what is told of a target, in bytes.
const (
	maxLooked = 2000
	maxState  = 64 << 10
)

// Look reads what an action with these parameters is judged on: the facts, and the state that the action itself sees. The
// parameters come from outside and are checked first. An action that is not in the catalogue, or none, sees nothing more than
// the facts. ErrNotFound where there is no such target, catalogue.ErrUnfit where the action does not fit it.
func (r *Reader) Look(ctx context.Context, name string, parameters json.RawMessage, t catalogue.Target) (catalogue.Facts, error) {
	action, ok := catalogue.Actions()[name]
	if !ok || action.See == nil {
		return r.Facts(ctx, t)
	}
	return r.LookFor(ctx, action, parameters, t)
}

// LookFor is Look for an action that is known already, such as one of a site's own.
func (r *Reader) LookFor(ctx context.Context, action *catalogue.Action, parameters json.RawMessage, t catalogue.Target) (catalogue.Facts, error) {
	if err := action.Validate(parameters); err != nil {
		return catalogue.Facts{}, fmt.Errorf("%w: %w", catalogue.ErrUnfit, err)
	}
	kind, ok := catalogue.Find(action.Kinds, t)
	if !ok {
		return catalogue.Facts{}, fmt.Errorf("%w: %s takes no %s", catalogue.ErrUnfit, action.Name, t.Kind)
	}
	return r.see(ctx, action, catalogue.Case{Target: t, Kind: kind, Parameters: parameters})
}

// see reads the target and what the action looks at, and has the action make its state of it. Facts in the case are those
// that were judged before; with them, a target that is gone has facts too.
func (r *Reader) see(ctx context.Context, action *catalogue.Action, c catalogue.Case) (catalogue.Facts, error) {
	judged := c.Facts.UID != ""
	facts, raw := catalogue.Facts{UID: c.Facts.UID, Gone: true}, []byte(nil)
	w, err := r.get(ctx, action.Kinds, c.Target)
	switch {
	case err == nil:
		if facts, err = r.factsOf(ctx, w); err == nil {
			raw, err = json.Marshal(w.content)
		}
	case errors.Is(err, ErrNotFound) && judged:
		err = nil
	}
	if err == nil && !facts.Gone && c.Kind == catalogue.Node && slices.Contains(action.Lists, catalogue.Node) {
		facts.Nodes, err = r.nodes(ctx, c.Target.Name)
	}
	removes := action.Effect == catalogue.Deletes || action.Effect == catalogue.Removes
	if err != nil || action.See == nil || facts.Gone && !removes { // without its target, no other action sees anything
		return facts, err
	}
	var looked [][]byte
	if action.Look != nil {
		reads := action.Look(c, raw)
		looked = make([][]byte, len(reads))
		for i, read := range reads {
			if looked[i], err = r.read(ctx, c.Target.Namespace, read); err != nil {
				return facts, err
			}
		}
	}
	facts.State, err = action.See(c, raw, looked)
	if len(facts.State) > maxState {
		return facts, fmt.Errorf("%w: what it sees is longer than %d KiB", catalogue.ErrUnfit, maxState>>10)
	}
	return facts, err
}

// read gets one object, nil where there is none, or a list.
func (r *Reader) read(ctx context.Context, namespace string, read catalogue.Read) ([]byte, error) {
	var client dynamic.ResourceInterface = r.client.Resource(resourceOf(read.Kind))
	if !read.Kind.ClusterScoped && namespace != "" {
		client = r.client.Resource(resourceOf(read.Kind)).Namespace(namespace)
	}
	if read.Name == "" {
		return listRaw(ctx, client, read)
	}
	if !nameable(read.Name) {
		return nil, nil
	}
	object, err := client.Get(ctx, read.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", read.Kind.Resource, read.Name, err)
	}
	return json.Marshal(object.Object)
}

// listRaw reads a list page by page. It refuses one that is too long to be judged on: half of it would be a lie.
func listRaw(ctx context.Context, client dynamic.ResourceInterface, read catalogue.Read) ([]byte, error) {
	items := []any{}
	options := metav1.ListOptions{LabelSelector: read.Labels, FieldSelector: read.Fields, Limit: page}
	for {
		found, err := client.List(ctx, options)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", read.Kind.Resource, err)
		}
		for i := range found.Items {
			items = append(items, found.Items[i].Object)
		}
		if len(items) > maxLooked {
			return nil, fmt.Errorf("%w: there are more than %d %s", catalogue.ErrUnfit, maxLooked, read.Kind.Resource)
		}
		if options.Continue = found.GetContinue(); options.Continue == "" {
			return json.Marshal(map[string]any{"items": items})
		}
	}
}
