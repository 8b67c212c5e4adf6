package policy

import (
	"io"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/request"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// explanation is what is known about the judgement of a request.
type explanation struct {
	Request string                  `json:"request"`
	Phase   v1alpha1.Phase          `json:"phase"`
	Message string                  `json:"message,omitempty"`
	Verdict *v1alpha1.VerdictStatus `json:"verdict,omitempty"`
	Unheard []policy.Unheard        `json:"unheard,omitempty"`
	// Note says why the policies that do not speak are not listed.
	Note string `json:"note,omitempty"`
}

func newExplain(hub *access.Hub) *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "explain REQUEST", Short: "Tell what each policy said to a request, rule by rule", Args: cobra.ExactArgs(1),
		Long: "Shows what the hub wrote down when it judged the request: each policy that matched, and each of its rules. Who may\n" +
			"list policies also sees which of them do not speak about the request today, and why.",
		ValidArgsFunction: request.Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			object, err := request.Find(command.Context(), c, hub.Key(args[0]))
			if err != nil {
				return err
			}
			e := explanation{Request: object.Namespace + "/" + object.Name, Phase: request.PhaseOf(object), Message: object.Status.Message,
				Verdict: object.Status.Verdict}
			if err := e.others(command, c, object); err != nil {
				return err
			}
			if format == show.JSON {
				return show.Value(command.OutOrStdout(), e)
			}
			e.print(command.OutOrStdout())
			return nil
		},
	}
	show.Flag(command, &format, show.Table, show.JSON)
	return command
}

// others lists the policies that do not speak about a request, as far as they may be read.
func (e *explanation) others(command *cobra.Command, c client.Client, r *v1alpha1.ActionRequest) error {
	var list v1alpha1.ActionPolicyList
	var cluster v1alpha1.Cluster
	err := c.List(command.Context(), &list)
	if err == nil {
		err = client.IgnoreNotFound(c.Get(command.Context(), client.ObjectKey{Name: r.Spec.Cluster}, &cluster))
	}
	if apierrors.IsForbidden(err) {
		e.Note = "you may not read policies and clusters: those that do not speak are not listed"
		return nil
	}
	if err != nil {
		return access.Explain(err)
	}
	set, err := policy.Compile(list.Items)
	if err != nil {
		return err
	}
	e.Unheard = set.Unheard(policy.Question{Action: r.Spec.Action, Cluster: r.Spec.Cluster, ClusterLabels: cluster.Labels, AgentClass: r.Spec.AgentClass,
		Target: catalogue.Target{APIVersion: r.Spec.Target.APIVersion, Kind: r.Spec.Target.Kind, Namespace: r.Spec.Target.Namespace, Name: r.Spec.Target.Name}})
	return nil
}

func (e *explanation) print(out io.Writer) {
	story := show.NewStory(out)
	defer story.End()
	story.Say("Request", "%s", e.Request)
	story.Say("Phase", "%s", e.Phase)
	story.Say("Message", "%s", e.Message)
	switch v := e.Verdict; {
	case v == nil:
		story.Say("Verdict", "it has not been judged")
	case v.Tier == "":
		story.Say("Verdict", "denied")
		request.Policies(story, v)
	default:
		story.Say("Verdict", "allowed, tier %s: %s", v.Tier, v.Why)
		if v.Approvals > 0 {
			story.Say("Approvals", "%d at least", v.Approvals)
		}
		if v.OnMiss == v1alpha1.OnMissUndo {
			story.Say("On a miss", "it is undone")
		}
		if v.GitOps != "" {
			story.Say("GitOps", "%s", map[string]string{v1alpha1.GitOpsLease: "the change is leased, and put back", v1alpha1.GitOpsNotify: "the first group is told of the change"}[v.GitOps])
		}
		request.Policies(story, v)
	}
	if len(e.Unheard) > 0 {
		story.Title("Policies that do not speak about it")
		for _, u := range e.Unheard {
			story.Line(u.Policy, u.Why)
		}
	}
	if e.Note != "" {
		story.Title(e.Note)
	}
}
