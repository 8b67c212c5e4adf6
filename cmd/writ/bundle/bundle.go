// Package bundle is the command "writ bundle show": the signed order that a spoke was given, as it was signed or decoded.
//
// It decodes strictly and verifies nothing: "-o dsse" prints the envelope for a verifier that does, with the keys of
// "writ trust show --role gateway -o pem".
package bundle

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/request"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// dsse is the format of the envelope as it is.
const dsse = "dsse"

// New makes the command "bundle" with its subcommand.
func New(hub *access.Hub) *cobra.Command {
	command := &cobra.Command{Use: "bundle", Aliases: []string{"bundles"}, Short: "Look at signed bundles"}
	command.AddCommand(newShow(hub))
	return command
}

func newShow(hub *access.Hub) *cobra.Command {
	var format string
	command := &cobra.Command{
		Use: "show REQUEST", Short: "Print the bundle of a request",
		Long: "Print the bundle of a request: decoded, or with -o dsse the envelope byte for byte, as any DSSE verifier takes it.\n" +
			"Nothing is verified here; writ trust show --role gateway -o pem prints the keys to verify with.",
		Args: cobra.ExactArgs(1), ValidArgsFunction: request.Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			c, err := hub.Client(command.ErrOrStderr())
			if err != nil {
				return err
			}
			r, err := request.Find(command.Context(), c, hub.Key(args[0]))
			if err != nil {
				return err
			}
			if r.Status.Bundle == nil {
				return fmt.Errorf("request %s has no bundle: it is %s", r.Name, request.PhaseOf(r))
			}
			return printBundle(command.OutOrStdout(), []byte(r.Status.Bundle.Envelope), format)
		},
	}
	show.Flag(command, &format, show.Table, show.JSON, show.YAML, dsse)
	return command
}

// decoded is a bundle without its layers.
type decoded struct {
	Digest      string        `json:"digest"`
	SignedBy    []string      `json:"signedBy"`
	Bundle      bundle.Bundle `json:"bundle"` // without the order, which follows
	Order       bundle.Order  `json:"order"`
	OrderDigest string        `json:"orderDigest"`
	ApprovedBy  []string      `json:"approvedBy"`
}

func printBundle(out io.Writer, envelope []byte, format string) error {
	if format == dsse {
		_, err := out.Write(envelope)
		return err
	}
	d, no := bundle.Decode(envelope)
	if no != nil {
		return fmt.Errorf("the bundle cannot be read: %s", no.Detail)
	}
	b := decoded{Digest: d.Digest, Bundle: d.Bundle, Order: d.Order, OrderDigest: d.OrderDigest, SignedBy: []string{}, ApprovedBy: []string{}}
	b.Bundle.Order = nil
	for _, s := range d.Envelope.Signatures {
		b.SignedBy = append(b.SignedBy, s.KeyID)
	}
	for _, s := range d.OrderEnvelope.Signatures {
		b.ApprovedBy = append(b.ApprovedBy, s.KeyID)
	}
	if format == show.Table {
		b.tell(out)
		return nil
	}
	raw, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return err
	}
	raw = append(show.Escape(raw), '\n')
	if format == show.YAML {
		if raw, err = yaml.JSONToYAML(raw); err != nil {
			return err
		}
	}
	_, err = io.WriteString(out, show.Lines(string(raw)))
	return err
}

// tell prints what a person checks, what before when.
func (b decoded) tell(out io.Writer) {
	story, o := show.NewStory(out), b.Order
	defer story.End()
	story.Say("Order", "%s (%s)", o.ID, b.OrderDigest)
	story.Say("Action", "%s with %s", o.Action, o.Parameters)
	if o.Template != nil {
		story.Say("Template", "%s", o.Template.Digest())
		for _, f := range o.Template.Fields {
			story.Say("Sets", "%s to %s", f.Path, f.Expression)
		}
	}
	story.Say("Target", "%s, UID %s", o.Target, o.Target.UID)
	story.Say("Cluster", "%s of %s, UID %s", o.Audience.Cluster, o.Audience.TrustDomain, o.Audience.ClusterUID)
	story.Say("Tier", "%s", o.Tier)
	story.Say("Valid", "%s to %s; %d s to execute", at(o.ValidFrom), at(o.ValidUntil), o.DeadlineSeconds)
	for _, rule := range o.Rules {
		story.Say("Allows", "%s of %s %s", strings.Join(rule.Verbs, ", "), strings.Join(rule.Resources, ", "), strings.Join(rule.ResourceNames, ", "))
	}
	story.Say("Prediction", "%s", o.Prediction)
	story.Say("Request", "%s", o.RequestID)
	story.Say("Decision", "%s", o.DecisionID)
	story.Say("Policies", "%s", o.PolicyDigest)
	story.Say("Approved by", "%s", strings.Join(b.ApprovedBy, ", "))
	story.Title("Bundle")
	story.Line("ID", b.Bundle.ID)
	story.Line("Digest", b.Digest)
	story.Line("Sequence", fmt.Sprintf("%d of epoch %d", b.Bundle.Sequence, b.Bundle.Epoch))
	story.Line("Previous", show.OrDash(b.Bundle.Previous))
	story.Line("To start", at(b.Bundle.NotBefore)+" to "+at(b.Bundle.Expires))
	story.Line("Trace", show.OrDash(b.Bundle.Traceparent))
	story.Line("Signed by", strings.Join(b.SignedBy, ", "))
}

func at(t time.Time) string { return t.UTC().Format(time.RFC3339) }
