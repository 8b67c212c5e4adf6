package request

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// sending is how a request that was put together is sent.
type sending struct {
	dryRun, wait bool
	format       string
}

func (o *sending) flags(command *cobra.Command) {
	command.Flags().BoolVar(&o.dryRun, "dry-run", false, "print the request instead of making it")
	command.Flags().BoolVar(&o.wait, "wait", false, "follow the request to its end; status 1 unless it succeeds")
	show.Flag(command, &o.format, show.Table, show.JSON, show.YAML, show.Name)
}

// send creates a request, unless it is only to be shown, and follows it if asked.
func (o *sending) send(command *cobra.Command, hub *access.Hub, object *v1alpha1.ActionRequest) error {
	out, says := command.OutOrStdout(), command.ErrOrStderr()
	if o.dryRun {
		if o.format == show.Table {
			o.format = show.YAML
		}
		return show.Object(out, o.format, object, nil)
	}
	c, err := hub.Client(says)
	if err != nil {
		return err
	}
	if err := create(command.Context(), c, object); err != nil {
		return err
	}
	key := client.ObjectKeyFromObject(object)
	switch {
	case o.format != show.Table:
		if err := show.Object(out, o.format, object, nil); err != nil {
			return err
		}
	case o.wait:
		fmt.Fprintf(out, "request %s created\n", key)
	default:
		fmt.Fprintf(out, "request %s created\nnext: writ request get %s -w\n", key, key)
	}
	if !o.wait {
		return nil
	}
	if o.format == show.Table {
		says = out
	}
	return FollowToEnd(command.Context(), c, key, says)
}

func create(ctx context.Context, c client.Client, object *v1alpha1.ActionRequest) error {
	err := c.Create(ctx, object, client.FieldValidation(metav1.FieldValidationStrict))
	switch {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("request %s/%s exists; a request is made once: choose another name", object.Namespace, object.Name)
	case access.NotFound(err):
		return fmt.Errorf("there is no namespace %q", object.Namespace)
	}
	return access.Explain(err)
}
