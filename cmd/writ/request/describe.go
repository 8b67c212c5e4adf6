package request

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/show"
)

func newDescribe(hub *access.Hub) *cobra.Command {
	return &cobra.Command{
		Use: "describe NAME", Short: "Tell a request's story, and what to do next", Args: cobra.ExactArgs(1), ValidArgsFunction: Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			object, err := Find(command.Context(), c, hub.Key(args[0]))
			if err != nil {
				return err
			}
			Describe(command.OutOrStdout(), object)
			return nil
		},
	}
}

// Describe prints a request's story. It says what the hub says: the bundle, the receipt and the outcome are decoded, not verified.
func Describe(out io.Writer, r *v1alpha1.ActionRequest) {
	story := show.NewStory(out)
	defer story.End()
	story.Say("Request", "%s/%s", r.Namespace, r.Name)
	Order(story, r)
	story.Say("Phase", "%s", PhaseOf(r))
	story.Say("Message", "%s", r.Status.Message)
	story.Say("Change", "%s", r.Status.Change)
	for _, d := range r.Status.Drift {
		story.Say("Drift", "%s predicted %s, actual %s", d.Field, d.Predicted, d.Actual)
	}
	story.Say("Undone by", "%s", r.Status.UndoneBy)
	if r.Spec.Undoes != nil {
		story.Say("Undoes", "%s", r.Spec.Undoes.Name)
	}
	if r.Spec.Rollout != nil {
		story.Say("Rollout", "%s", r.Spec.Rollout.Name)
	}
	story.Say("Trace", "%s", r.Status.TraceID)
	if len(r.Status.Steps) > 0 {
		story.Title("Steps on the hub")
		for _, step := range r.Status.Steps {
			story.Line(step.At.Local().Format(time.TimeOnly), step.Name, step.Result, step.Detail)
		}
	}
	sealed(story, r)
	story.Title("Next")
	story.Line(next(r))
}

// Order says what is asked for, and on what it was judged: what an approver reads.
func Order(story *show.Story, r *v1alpha1.ActionRequest) {
	story.Say("Action", "%s", r.Spec.Action)
	story.Say("Target", "%s in cluster %s", targetOf(r), r.Spec.Cluster)
	story.Say("Parameters", "%s", parametersOf(r))
	story.Say("Asked by", "%s%s, %s", requesterOf(r), ofClass(r.Spec.AgentClass), r.CreationTimestamp.Local().Format(time.DateTime))
	story.Say("Reason", "%s", r.Spec.Reason)
	story.Say("Decision", "%s", r.Spec.DecisionID)
	story.Say("Tier", "%s", r.Status.Tier)
	story.Say("Judged", "%s", judged(r))
	story.Say("Prediction", "%s", r.Status.Prediction)
	story.Say("Order", "%s", r.Status.OrderDigest)
	rehearsed(story, r.Status.Diff)
}

// Why says why an agent asks, and what the policies said: what an approver reads besides the order. What the agent saw comes from the
// cluster: it is shown plainly, whatever is in it.
func Why(story *show.Story, r *v1alpha1.ActionRequest) {
	if d := r.Status.Decision; d != nil {
		story.Title("Decided by " + d.Reasoning + ", " + d.At.Local().Format(time.DateTime))
		story.Line(d.Summary)
		for _, e := range d.Evidence {
			story.Line("saw "+e.Reason+" of "+e.Object, e.Severity, fmt.Sprintf("%d times, last at %s", e.Count, e.LastSeen.Local().Format(time.TimeOnly)))
			for _, name := range slices.Sorted(maps.Keys(e.Values)) {
				story.Line("  "+name, e.Values[name])
			}
		}
	}
	if r.Status.Verdict != nil {
		Policies(story, r.Status.Verdict)
	}
}

// Policies says what each rule of each policy that matched said.
func Policies(story *show.Story, v *v1alpha1.VerdictStatus) {
	spoke := map[string]bool{}
	story.Title("Policies that spoke")
	for _, f := range v.Findings {
		spoke[f.Policy] = true
		story.Line(f.Policy, f.Rule, f.Effect, f.Text, f.Says)
	}
	for _, name := range v.Policies {
		if !spoke[name] {
			story.Line(name, "matchConstraints", "agrees", "", "")
		}
	}
	if len(v.Policies) == 0 {
		story.Line("none")
	}
}

// rehearsed says what the action would change. The values come from the cluster: they are shown plainly, whatever is in them.
func rehearsed(story *show.Story, d *v1alpha1.DiffStatus) {
	if d == nil {
		return
	}
	where := map[string]string{"InProcess": "by the spoke", "Sandbox": "in a sandbox"}[d.Place]
	story.Title("Would change " + d.Object + " (rehearsed " + show.OrDash(where) + ")")
	for _, f := range d.Changes {
		story.Line(f.Path, show.OrDash(f.Before), "→", show.OrDash(f.After))
	}
	switch {
	case d.Omitted > 0:
		story.Line(fmt.Sprintf("and %d more", d.Omitted))
	case len(d.Changes) == 0:
		story.Line("nothing")
	}
}

func ofClass(class string) string {
	if class == "" {
		return ""
	}
	return " (agent class " + class + ")"
}

// judged is what the policies said.
func judged(r *v1alpha1.ActionRequest) string {
	for _, step := range r.Status.Steps {
		if step.Name == "judge" {
			return step.Detail
		}
	}
	return ""
}

// sealed tells what is in the signed envelopes, with the spoke's own times.
func sealed(story *show.Story, r *v1alpha1.ActionRequest) {
	if b := r.Status.Bundle; b != nil {
		story.Title("Bundle")
		story.Line(fmt.Sprintf("%s, sequence %d of epoch %d, to start before %s", b.ID, b.Sequence, b.Epoch, b.Expires.Local().Format(time.TimeOnly)))
	}
	if r.Status.Receipt != "" {
		story.Title("Receipt")
		_, receipt, no := bundle.OpenReceipt([]byte(r.Status.Receipt))
		if no != nil {
			story.Line("cannot be read: " + no.Detail)
			return
		}
		line := string(receipt.Result) + " after " + took(receipt.StartedAt, receipt.FinishedAt)
		if receipt.Refusal != nil {
			line += ": " + receipt.Refusal.String()
		}
		if receipt.Credential != "" {
			line += ", with " + receipt.Credential
		}
		story.Line(line)
		for _, span := range receipt.Spans {
			story.Line("  "+span.Name, took(span.Start, span.End))
		}
	}
	if r.Status.Outcome != "" {
		story.Title("Outcome")
		_, outcome, no := bundle.OpenOutcome([]byte(r.Status.Outcome))
		if no != nil {
			story.Line("cannot be read: " + no.Detail)
			return
		}
		story.Line(fmt.Sprintf("%s at %s: %s", outcome.Result, outcome.ObservedAt.Local().Format(time.TimeOnly), outcome.Detail))
	}
}

func took(from, to time.Time) string {
	switch d := to.Sub(from); {
	case from.IsZero() || d < 0:
		return "-"
	case d < time.Second:
		return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
	default:
		return d.Round(100 * time.Millisecond).String()
	}
}

// next is what a person can do.
func next(r *v1alpha1.ActionRequest) string {
	name := r.Namespace + "/" + r.Name
	switch {
	case r.Status.Phase == v1alpha1.PhaseAwaitingApproval:
		return "writ approve " + name + ", or writ deny " + name
	case !r.Status.Phase.Final():
		return "writ request get " + name + " -w follows it"
	case r.Status.Inverse != "":
		return "writ request undo " + name + " puts things back"
	case r.Status.Bundle != nil:
		return "writ audit show " + name + " prints what the audit log has of it"
	case r.Status.Phase == v1alpha1.PhaseSucceeded:
		return "nothing"
	}
	return "nothing was done; ask again once what the message says is mended"
}
