package rollout

import (
	"fmt"
	"io"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// describe tells what a rollout is and how it stands.
func describe(out io.Writer, r *v1alpha1.Rollout) {
	story := show.NewStory(out)
	target := r.Spec.Request.Target
	story.Say("Rollout", "%s/%s", r.Namespace, r.Name)
	story.Say("Action", "%s of %s/%s/%s", r.Spec.Request.Action, strings.ToLower(target.Kind), target.Namespace, target.Name)
	if p := r.Spec.Request.Parameters; p != nil {
		story.Say("Parameters", "%s", p.Raw)
	}
	story.Say("Asked by", "%s", r.Spec.Requester)
	story.Say("Reason", "%s", r.Spec.Request.Reason)
	story.Say("Stops", "after more than %d failures, and then: %s", r.Spec.MaxFailures, r.Spec.OnFailure)
	story.Say("Phase", "%s", phaseOf(r))
	story.Say("Progress", "%s", bar(r))
	story.Say("Message", "%s", r.Status.Message)
	story.Say("Next", "%s", next(r))
	story.End()
	fmt.Fprintln(out)
}

// clusters shows the waves, a line a cluster.
func clusters(r *v1alpha1.Rollout) *metav1.Table {
	rows := show.Columns("Wave", "Cluster", "Request", "Phase", "Undo", "Message")
	for i, wave := range r.Status.Waves {
		for _, c := range wave.Clusters {
			request := ""
			if c.Request != "" {
				request = v1alpha1.RequestName(r.Name, c.Name)
			}
			show.Row(rows, i+1, c.Name, show.OrDash(request), show.OrDash(string(c.Phase)), show.OrDash(string(c.Undo)), show.OrDash(c.Message))
		}
	}
	return rows
}

// next is what a person can do.
func next(r *v1alpha1.Rollout) string {
	name := r.Namespace + "/" + r.Name
	switch {
	case r.Status.Phase.Final():
		return "nothing"
	case r.Spec.Paused:
		return "writ rollout resume " + name + ", or writ rollout abort " + name
	}
	return "writ rollout get " + name + " -w follows it; writ rollout pause " + name + " holds it"
}
