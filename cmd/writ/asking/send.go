// Package asking is how commands hand an object to the hub's API server and follow what becomes of it.
package asking

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// Sending is how an object that was put together is sent. Noun is what people call it, and the command that shows it; ToEnd
// prints what becomes of it until nothing more will, and is an error unless it succeeded.
type Sending struct {
	Noun  string
	ToEnd func(ctx context.Context, c client.WithWatch, key client.ObjectKey, out io.Writer) error

	dryRun, wait bool
	format       string
}

// Flags adds --dry-run, --wait and -o.
func (s *Sending) Flags(command *cobra.Command) {
	command.Flags().BoolVar(&s.dryRun, "dry-run", false, fmt.Sprintf("print the %s instead of making it", s.Noun))
	command.Flags().BoolVar(&s.wait, "wait", false, fmt.Sprintf("follow the %s to its end; status 1 unless it succeeds", s.Noun))
	show.Flag(command, &s.format, show.Table, show.JSON, show.YAML, show.Name)
}

// Send creates the object, unless it is only to be shown, and follows it if asked.
func (s *Sending) Send(command *cobra.Command, hub *access.Hub, object client.Object) error {
	out, says := command.OutOrStdout(), command.ErrOrStderr()
	if s.dryRun {
		if s.format == show.Table {
			s.format = show.YAML
		}
		return show.Object(out, s.format, object, nil)
	}
	c, err := hub.Client(says)
	if err != nil {
		return err
	}
	if err := s.create(command.Context(), c, object); err != nil {
		return err
	}
	key := client.ObjectKeyFromObject(object)
	switch {
	case s.format != show.Table:
		if err := show.Object(out, s.format, object, nil); err != nil {
			return err
		}
	case s.wait:
		fmt.Fprintf(out, "%s %s created\n", s.Noun, key)
	default:
		fmt.Fprintf(out, "%s %s created\nnext: writ %[1]s get %[2]s -w\n", s.Noun, key)
	}
	if !s.wait {
		return nil
	}
	if s.format == show.Table {
		says = out
	}
	return s.ToEnd(command.Context(), c, key, says)
}

func (s *Sending) create(ctx context.Context, c client.Client, object client.Object) error {
	err := c.Create(ctx, object, client.FieldValidation(metav1.FieldValidationStrict))
	switch {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("%s %s exists; a %[1]s is made once: choose another name", s.Noun, client.ObjectKeyFromObject(object))
	case access.NotFound(err):
		return fmt.Errorf("there is no namespace %q", object.GetNamespace())
	}
	return access.Explain(err)
}
