// Package approval is the commands "writ approve" and "writ deny": a person's word on one order.
//
// What is shown before the question is what the hub says of the order, with the digest that the approval names: an approval of
// this order is never one of another. At tier high approvers sign the order's own bytes, and are shown what is rendered from those
// bytes alone. The private key is read here, or stays in the ssh-agent; it goes nowhere.
package approval

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/prompt"
	"github.com/writ-dev/writ/cmd/writ/request"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

// brief is how long is waited, after the word, for what comes of it.
const brief = 5 * time.Second

// word is what the flags say.
type word struct {
	verdict   v1alpha1.Verdict
	reason    string
	key       string // a file; empty: the ssh-agent
	yes, wait bool
	format    string
}

// NewApprove makes the command "approve".
func NewApprove(hub *access.Hub) *cobra.Command {
	return newCommand(hub, v1alpha1.Approve, "Approve the order of a request")
}

// NewDeny makes the command "deny".
func NewDeny(hub *access.Hub) *cobra.Command {
	return newCommand(hub, v1alpha1.Deny, "Deny the order of a request")
}

func newCommand(hub *access.Hub, verdict v1alpha1.Verdict, short string) *cobra.Command {
	w := word{verdict: verdict}
	command := &cobra.Command{
		Use:   string(verdict) + " REQUEST",
		Short: short,
		Long: short + ".\n\nShows the order as the hub judged it, and asks. REQUEST is a name, or NAMESPACE/NAME: agents have namespaces of their own.\n" +
			"The approval names the order's digest: should the order change, it counts for nothing.\n\n" +
			"At tier high an approval is signed, with the SSH key that the trust root gives to you: a file (--key), or one that the ssh-agent\n" +
			"holds (a hardware key always). What is signed is shown as it is in those bytes. A denial needs no signature, but a reason.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: request.Names(hub, v1alpha1.PhaseAwaitingApproval),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			if w.verdict == v1alpha1.Deny && w.reason == "" {
				return usage.Errorf("--reason is needed: the requester reads it")
			}
			return w.say(command, c, hub.Key(args[0]))
		},
	}
	command.Flags().StringVar(&w.reason, "reason", "", "why; the requester reads it")
	if verdict == v1alpha1.Approve {
		command.Flags().StringVar(&w.key, "key", "", "SSH private key to sign with at tier high (default: the ssh-agent's)")
	}
	command.Flags().BoolVarP(&w.yes, "yes", "y", false, "do not ask")
	command.Flags().BoolVar(&w.wait, "wait", false, "follow the request to its end; status 1 unless it succeeds")
	show.Flag(command, &w.format, show.Table, show.JSON, show.YAML, show.Name)
	return command
}

// say shows the order, asks, and writes the approval. Where a program reads the approval, a person reads the rest on standard error.
func (w word) say(command *cobra.Command, c client.WithWatch, key client.ObjectKey) error {
	result := command.OutOrStdout()
	if w.format != show.Table {
		command.SetOut(command.ErrOrStderr())
	}
	ctx, out := command.Context(), command.OutOrStdout()
	r, err := request.Find(ctx, c, key)
	if err != nil {
		return err
	}
	me, err := open(ctx, c, r, w.verdict)
	if err != nil {
		return err
	}
	var signs pen
	var order signable
	signed := w.verdict == v1alpha1.Approve && r.Status.Tier == string(catalogue.High)
	if signed {
		if order, err = read(r); err != nil {
			return err
		}
		if signs, err = findPen(command, c, w.key, me); err != nil {
			return err
		}
	}
	fmt.Fprintln(out)
	story := show.NewStory(out)
	story.Say("Request", "%s", key)
	request.Order(story, r)
	request.Why(story, r)
	if signed {
		order.render(story)
	}
	story.End()
	fmt.Fprintln(out)
	if !w.yes {
		if err := prompt.Confirm(command, asks[w.verdict], string(w.verdict)); err != nil {
			return err
		}
	}
	approval := &v1alpha1.Approval{
		ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, GenerateName: r.Name[:min(len(r.Name), 200)] + "-"},
		Spec:       v1alpha1.ApprovalSpec{Request: r.Name, OrderDigest: r.Status.OrderDigest, Verdict: w.verdict, Reason: w.reason},
	}
	if signed {
		if signs.key.Hardware() {
			fmt.Fprintln(out, "touch your hardware key now, where it asks for it …")
		}
		if approval.Spec.Signature, err = signs.signature(ctx, order); err != nil {
			return err
		}
	}
	if err := c.Create(ctx, approval, client.FieldValidation(metav1.FieldValidationStrict)); err != nil {
		return access.Explain(err)
	}
	fmt.Fprintf(out, "%s by %s\n", said[w.verdict], show.Plain(approval.Spec.Approver))
	if w.format != show.Table {
		if err := show.Object(result, w.format, approval, nil); err != nil {
			return err
		}
	}
	if w.wait && w.verdict == v1alpha1.Approve {
		return request.FollowToEnd(ctx, c, key, out)
	}
	return w.follow(command, c, key)
}

var asks = map[v1alpha1.Verdict]string{v1alpha1.Approve: "Approve this order?", v1alpha1.Deny: "Deny this order?"}

var said = map[v1alpha1.Verdict]string{v1alpha1.Approve: "approved", v1alpha1.Deny: "denied"}

// open refuses a word that would come to nothing, and returns whose word it is.
func open(ctx context.Context, c client.Client, r *v1alpha1.ActionRequest, verdict v1alpha1.Verdict) (me string, err error) {
	if r.Status.Phase != v1alpha1.PhaseAwaitingApproval {
		return "", fmt.Errorf("request %s waits for no approval: it is %s", r.Name, request.PhaseOf(r))
	}
	if r.Status.OrderDigest == "" {
		return "", fmt.Errorf("request %s has no order yet: look again in a moment", r.Name)
	}
	var review authenticationv1.SelfSubjectReview
	if err := c.Create(ctx, &review); err != nil {
		return "", access.Explain(err)
	}
	me = review.Status.UserInfo.Username
	if me == r.Spec.Requester {
		return "", fmt.Errorf("request %s was made by you (%s): another one must %s it", r.Name, me, verdict)
	}
	return me, nil
}

// follow prints what happens next, for a short while.
func (w word) follow(command *cobra.Command, c client.WithWatch, key client.ObjectKey) error {
	ctx, cancel := context.WithTimeout(command.Context(), brief)
	defer cancel()
	tell := request.Lines(command.OutOrStdout(), false)
	err := request.Follow(ctx, c, key, func(r *v1alpha1.ActionRequest, gone bool) (bool, error) {
		if !gone && r.Status.Phase == v1alpha1.PhaseAwaitingApproval {
			return false, nil
		}
		_, err := tell(r, gone)
		return gone || r.Status.Phase != v1alpha1.PhasePending, err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		fmt.Fprintf(command.OutOrStdout(), "the hub has not taken it in yet\n")
		err = nil
	}
	if err == nil && w.verdict == v1alpha1.Approve {
		fmt.Fprintf(command.OutOrStdout(), "next: writ request get %s -w\n", key)
	}
	return err
}
