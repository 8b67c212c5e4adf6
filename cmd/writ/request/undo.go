package request

import (
	"fmt"

	"github.com/spf13/cobra"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/site"
)

// undoName bounds the part of a name that an undo takes over, so that the whole stays a name.
const undoName = 200

func newUndo(hub *access.Hub) *cobra.Command {
	o := sending()
	var reason string
	command := &cobra.Command{
		Use: "undo NAME", Short: "Ask for the action that undoes a request's",
		Long: "Ask for the action that undoes a request's, as recorded when it was done.\n\nIt is a request like any other: judged, approved and logged again.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: Names(hub, v1alpha1.PhaseSucceeded, v1alpha1.PhaseIneffective),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			object, err := Find(command.Context(), c, hub.Key(args[0]))
			if err != nil {
				return err
			}
			undo, err := inverse(site.On(command.Context(), hub, command.ErrOrStderr()), object, reason)
			if err != nil {
				return err
			}
			return o.Send(command, hub, undo)
		},
	}
	command.Flags().StringVar(&reason, "reason", "", "why, for those who approve and those who look back")
	o.Flags(command)
	return command
}

// inverse is the request that undoes another one.
func inverse(find site.Finder, r *v1alpha1.ActionRequest, reason string) (*v1alpha1.ActionRequest, error) {
	if r.Status.Inverse == "" {
		if r.Status.Change != "" {
			return nil, fmt.Errorf("request %s cannot be undone: %s has no inverse", r.Name, r.Spec.Action)
		}
		return nil, fmt.Errorf("request %s changed nothing (%s): there is nothing to undo", r.Name, PhaseOf(r))
	}
	var undo catalogue.Undo
	if strict, err := kjson.UnmarshalStrict([]byte(r.Status.Inverse), &undo); err != nil || len(strict) > 0 {
		return nil, fmt.Errorf("request %s cannot be undone: its inverse cannot be read", r.Name)
	}
	if reason == "" {
		reason = fmt.Sprintf("undo %s: %s", r.Name, r.Status.Change)
	}
	name := r.Name[:min(len(r.Name), undoName)]
	target := r.Spec.Target
	if t := undo.Target; t != nil {
		target = v1alpha1.Target{APIVersion: t.APIVersion, Kind: t.Kind, Namespace: t.Namespace, Name: t.Name}
	}
	object := &v1alpha1.ActionRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, GenerateName: "undo-" + name + "-"},
		Spec: v1alpha1.ActionRequestSpec{Cluster: r.Spec.Cluster, Action: undo.Action, Target: target,
			Parameters: &apiextensionsv1.JSON{Raw: undo.Parameters}, Reason: reason},
	}
	return object, check(find, object)
}
