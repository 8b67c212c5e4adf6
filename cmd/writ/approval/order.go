package approval

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// signable is an order as it is signed.
type signable struct {
	order bundle.Order
	bytes []byte // DSSE's pre-authentication encoding
}

// read takes the order that the hub shows, and refuses one that is not what its digest says.
func read(r *v1alpha1.ActionRequest) (signable, error) {
	if r.Status.Order == "" {
		return signable{}, fmt.Errorf("the hub shows no order of request %s to sign: look again in a moment", r.Name)
	}
	envelope, order, digest, no := bundle.OpenOrder([]byte(r.Status.Order))
	if no != nil {
		return signable{}, fmt.Errorf("the order that the hub shows cannot be read: %s", no.Detail)
	}
	if digest != r.Status.OrderDigest {
		return signable{}, errors.New("the order that the hub shows is not the one that its status names: sign nothing, and tell your security team")
	}
	payload, err := envelope.DecodeB64Payload()
	if err != nil {
		return signable{}, err
	}
	return signable{order, dsse.PAE(bundle.OrderType, payload)}, nil
}

// render says what is signed, from those bytes and nothing else.
func (s signable) render(story *show.Story) {
	o := s.order
	story.Title("What is signed")
	story.Say("Order", "%s", o.ID)
	story.Say("Action", "%s", o.Action)
	template(story, o)
	story.Say("Target", "%s (%s)", o.Target, o.Target.UID)
	story.Say("Cluster", "%s (%s), trust domain %s", o.Audience.Cluster, o.Audience.ClusterUID, o.Audience.TrustDomain)
	story.Say("Parameters", "%s", compact(o.Parameters))
	story.Say("As observed", "%d replicas, generation %d%s", o.Observed.Replicas, o.Observed.Generation, protected(o))
	story.Say("Tier", "%s", o.Tier)
	story.Say("Valid", "%s to %s", o.ValidFrom.UTC().Format(time.RFC3339), o.ValidUntil.UTC().Format(time.RFC3339))
	story.Say("Deadline", "%d s", o.DeadlineSeconds)
	for _, rule := range o.Rules {
		story.Say("May", "%s", may(rule))
	}
	story.Say("Prediction", "%s", o.Prediction)
	story.Say("Decision", "%s", o.DecisionID)
	story.Say("Rehearsed", "%s", show.OrDash(o.RehearsalDigest))
}

// template says what an action of the site's own sets, and how it is computed.
func template(story *show.Story, o bundle.Order) {
	if o.Template == nil {
		return
	}
	story.Say("Template", "%s (%s)", o.Template.Summary, o.Template.Digest())
	for _, f := range o.Template.Fields {
		story.Say("Sets", "%s of %s to %s", f.Path, o.Template.Target.Kind, f.Expression)
	}
	story.Say("Seen", "%s", compact(o.Observed.State))
}

func protected(o bundle.Order) string {
	if o.Observed.Protected {
		return ", protected"
	}
	return ""
}

func compact(raw json.RawMessage) string {
	if len(raw) == 0 {
		return "none"
	}
	return string(raw)
}

func may(rule rbacv1.PolicyRule) string {
	what := strings.Join(rule.Verbs, ", ") + " " + strings.Join(rule.Resources, ", ")
	if len(rule.ResourceNames) > 0 {
		what += " " + strings.Join(rule.ResourceNames, ", ")
	}
	return what
}
