package credentials

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/capability"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/freeze"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/cmd/writ/usage"
)

// lookEvery is how often it is looked whether they have ended.
const lookEvery = 250 * time.Millisecond

// errLeft is what the command ends with where it could not see that all have ended.
var errLeft = errors.New("not all credentials are known to have ended")

// order is what the flags say.
type order struct {
	freeze.Order
	wait   time.Duration
	format string
}

func newRevoke(hub *access.Hub) *cobra.Command {
	var o order
	command := &cobra.Command{
		Use: "revoke --all|--cluster C|--agent-class A|--action X --reason R", Short: "End the credentials that are live, now",
		Long: "End the credentials of actions that are live, now: what was started is stopped where it stands, its credential is ended, and nothing in\n" +
			"the scope starts for as long as --for says. It is a freeze (writ freeze list, writ unfreeze), which has the spokes do so; each\n" +
			"receipt says how far its action went. The command waits until the spokes have said so, and ends with status 1 where they have not.",
		Example: "  writ credentials revoke --agent-class healer --reason \"its token was stolen\"\n  writ credentials revoke --all --reason \"Vault was broken into\" --for 1h",
		Args:    cobra.NoArgs,
		RunE:    func(command *cobra.Command, _ []string) error { return o.revoke(command, hub) },
	}
	o.RevokeCredentials = true
	o.Flags(command, hub, 5*time.Minute)
	command.Flags().DurationVar(&o.wait, "wait", 30*time.Second, "how long to wait for the spokes")
	_ = command.RegisterFlagCompletionFunc("wait", cobra.NoFileCompletions)
	show.Flag(command, &o.format, show.Table, show.JSON)
	return command
}

// revoked is what came of it.
type revoked struct {
	Freeze string `json:"freeze"`
	Ended  []live `json:"ended"`
	Left   []left `json:"left,omitempty"`
}

// left is a cluster of which it is not known that all have ended.
type left struct {
	Cluster     string `json:"cluster"`
	Why         string `json:"why"`
	Credentials []live `json:"credentials"` // as its spoke said last
}

func (o *order) revoke(command *cobra.Command, hub *access.Hub) error {
	if err := o.Check(); err != nil {
		return err
	}
	if o.wait < 0 {
		return usage.Errorf("--wait %s has passed", o.wait)
	}
	ctx, out := command.Context(), command.OutOrStdout()
	c, err := hub.Client(command.ErrOrStderr())
	if err != nil {
		return err
	}
	if o.Scope.Cluster != "" {
		err := c.Get(ctx, client.ObjectKey{Name: o.Scope.Cluster}, &v1alpha1.Cluster{})
		if access.NotFound(err) {
			return fmt.Errorf("there is no cluster %q, and nothing was revoked; writ cluster list shows those there are", o.Scope.Cluster)
		}
		if err != nil {
			return access.Explain(err)
		}
	}
	f, err := o.Declare(ctx, c)
	if err != nil {
		return err
	}
	came, err := o.await(ctx, c, f, command.ErrOrStderr())
	if err != nil {
		return fmt.Errorf("freeze %s holds, and its spokes are at it; what came of it cannot be seen: %w", f.Name, access.Explain(err))
	}
	if o.format == show.JSON {
		err = show.Value(out, came)
	} else {
		err = came.write(out, f)
	}
	if err == nil && len(came.Left) > 0 {
		err = errLeft
	}
	return err
}

// await looks until the spokes in the scope hold the freeze and have no credential in it any more, or the time is over.
func (o *order) await(ctx context.Context, c client.Client, f *v1alpha1.Freeze, progress io.Writer) (revoked, error) {
	scope := scoped{o.Scope}
	came, seen, told := revoked{Freeze: f.Name, Ended: []live{}}, map[string]live{}, -1
	for end := time.Now().Add(o.wait); ; {
		var fleet v1alpha1.ClusterList
		if err := c.List(ctx, &fleet); err != nil {
			return came, err
		}
		now := scope.of(fleet.Items, time.Now()).Credentials
		for _, l := range now {
			seen[l.Cluster+" "+l.ID+" "+l.Request] = l
		}
		came.Left = scope.left(fleet.Items, f.Name)
		if len(came.Left) == 0 || time.Now().After(end) {
			for key, l := range seen {
				if !slices.ContainsFunc(now, func(still live) bool { return still.Cluster+" "+still.ID+" "+still.Request == key }) {
					came.Ended = append(came.Ended, l)
				}
			}
			return came, nil
		}
		if len(came.Left) != told {
			told = len(came.Left)
			fmt.Fprintf(progress, "waiting for the spokes of %d clusters, for %s at most\n", told, time.Until(end).Round(time.Second))
		}
		select {
		case <-time.After(lookEvery):
		case <-ctx.Done():
			return came, ctx.Err()
		}
	}
}

// left lists the clusters in the scope of which it is not known that all have ended.
func (s scoped) left(clusters []v1alpha1.Cluster, name string) []left {
	var all []left
	for i := range clusters {
		c := &clusters[i]
		if !s.covers(c) || c.Status.Phase == v1alpha1.ClusterRevoked {
			continue
		}
		live, why := s.of(clusters[i:i+1], time.Now()), ""
		switch {
		case c.Status.Capability < int64(capability.Withdrawals):
			why = "its spoke (" + c.Status.SpokeVersion + ") cannot stop what it has started: upgrade it"
		case !c.Status.Connected:
			why = "its spoke is not connected: it hears of this when it is"
		case !slices.Contains(c.Status.Freezes, name) && !slices.Contains(c.Status.Freezes, bundle.Many):
			why = "its spoke has not said that it knows"
		case live.Omitted > 0:
			why = fmt.Sprintf("its spoke has %d more than it could say", live.Omitted)
		case len(live.Credentials) > 0:
			why = "its spoke is ending them, and tries until it is done"
		default:
			continue
		}
		all = append(all, left{c.Name, why, live.Credentials})
	}
	return all
}

func (r revoked) write(out io.Writer, f *v1alpha1.Freeze) error {
	for _, l := range r.Ended {
		fmt.Fprintf(out, "ended  %s: %s of %s (%s)\n", l.Cluster, show.Plain(l.Action), show.Plain(l.Target), show.OrDash(show.Plain(l.Request)))
	}
	for _, l := range r.Left {
		fmt.Fprintf(out, "LEFT   %s: %s", l.Cluster, show.Plain(l.Why))
		if n := len(l.Credentials); n > 0 {
			last := slices.MaxFunc(l.Credentials, func(a, b live) int { return a.Until.Compare(b.Until.Time) })
			fmt.Fprintf(out, "; %d live at last word, which end by themselves until %s", n, last.Until.UTC().Format(time.RFC3339))
		}
		fmt.Fprintln(out)
	}
	if len(r.Left) == 0 {
		fmt.Fprintf(out, "%s: no credential is live\n", f.Spec.Scope)
	}
	_, err := fmt.Fprintf(out, "nothing starts there %s\nnext: writ unfreeze %s\n", freeze.Ends(f), f.Name)
	if len(r.Left) > 0 && err == nil {
		_, err = fmt.Fprintln(out, "      writ credentials list, or writ cluster revoke NAME to shut a cluster out")
	}
	return err
}
