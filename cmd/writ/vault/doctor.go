package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	vaultapi "github.com/hashicorp/vault/api"
	"github.com/spf13/cobra"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	"github.com/writ-dev/writ/cmd/writ/cluster"
	"github.com/writ-dev/writ/cmd/writ/doctor"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/cmd/writ/usage"
	"github.com/writ-dev/writ/credentials/vault"
)

func newDoctor(hub *access.Hub) *cobra.Command {
	var format, workload string
	var all bool
	command := &cobra.Command{
		Use: "doctor [CLUSTER...]", Short: "Look for what is wrong with Vault as a judge of bundles",
		Long: "Compare what Vault believes and what it has for each cluster with what the hub publishes and what writ vault setup makes.\n" +
			"It changes nothing. It ends with status 1 if a finding is an error.\n\n" +
			"With --workload it also asks that cluster what Vault's own ServiceAccount may do there: what it needs, and nothing that would\n" +
			"make it more.\n\n" +
			reached,
		Example:           "  writ vault doctor\n  writ vault doctor east --workload east.kubeconfig --all",
		ValidArgsFunction: cluster.Names(hub),
		RunE: func(command *cobra.Command, args []string) error {
			if workload != "" && len(args) != 1 {
				return usage.Errorf("--workload is the kubeconfig of one cluster: name it, as in writ vault doctor east --workload east.kubeconfig")
			}
			f, err := gather(command, hub, args)
			if err == nil && workload != "" && f.state.Clusters[args[0]].Audience == "" { // else Vault has no account there
				f.account, err = look(command.Context(), workload)
			}
			if err != nil {
				return err
			}
			return doctor.Tell(command.OutOrStdout(), format, all, judge(f))
		},
	}
	command.Flags().StringVar(&workload, "workload", "", "kubeconfig of the one workload cluster, for this command alone")
	_ = command.MarkFlagFilename("workload")
	command.Flags().BoolVar(&all, "all", false, "also print what is well")
	show.Flag(command, &format, show.Table, show.JSON)
	return command
}

// facts are what is judged, gathered once.
type facts struct {
	info     map[string]string // what the hub publishes
	health   *vaultapi.HealthResponse
	state    vault.State
	clusters []string
	account  *account // of the one cluster; nil where it was not looked at
	keeper   keeper
	now      time.Time
}

// look asks the workload cluster of a kubeconfig about Vault's account.
func look(ctx context.Context, workload string) (*account, error) {
	config, err := workloadConfig(workload)
	if err != nil {
		return nil, err
	}
	a, err := lookAt(ctx, config)
	return &a, err
}

func gather(command *cobra.Command, hub *access.Hub, names []string) (f facts, err error) {
	ctx := command.Context()
	c, err := hub.Client(command.ErrOrStderr())
	if err != nil {
		return f, err
	}
	if f.info, err = access.Published(ctx, c); err != nil {
		return f, err
	}
	if f.clusters = names; len(names) == 0 {
		var list v1alpha1.ClusterList
		if err := c.List(ctx, &list); err != nil {
			return f, access.Explain(err)
		}
		for _, one := range list.Items {
			f.clusters = append(f.clusters, one.Name)
		}
	}
	root, err := connect()
	if err != nil {
		return f, err
	}
	f.now = time.Now()
	if f.health, err = health(ctx, root); err != nil || f.health.Sealed {
		return f, err
	}
	if f.state, err = vault.Inspect(ctx, root, f.clusters); err != nil {
		return f, err
	}
	if f.keeper.AuthorityState, err = vault.InspectAuthority(ctx, root, f.info["trustDomain"], []byte(f.info["authorities.pem"])); err != nil || !f.keeper.Set {
		return f, err
	}
	config, err := hub.Config(command.ErrOrStderr())
	if err == nil {
		f.keeper.issuer, f.keeper.keys, err = issuerOf(ctx, config)
	}
	return f, err
}

func health(ctx context.Context, root *vaultapi.Client) (*vaultapi.HealthResponse, error) {
	answer, err := root.Sys().HealthWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("vault cannot be reached: %w", err)
	}
	return answer, nil
}

// judge says what the facts mean. It looks at nothing else.
func judge(f facts) (findings []doctor.Finding) {
	add := func(status doctor.Status, check, subject, fix, found string, args ...any) {
		findings = append(findings, doctor.Finding{Status: status, Check: check, Subject: subject, Found: fmt.Sprintf(found, args...), Fix: fix})
	}
	if f.health.Sealed {
		add(doctor.Failing, "vault", "", "vault operator unseal", "it is sealed: no action gets a credential")
		return findings
	}
	add(doctor.Fine, "vault", "", "", "version %s, unsealed", f.health.Version)
	if off := time.Unix(f.health.ServerTimeUTC, 0).Sub(f.now).Abs(); off > bundle.Skew {
		add(doctor.Failing, "clock", "Vault", "set the clocks by one source", "it is %s off: Vault refuses what is valid", off.Round(time.Second))
	}
	judgeBelief(f, add)
	judgeKeeper(f.keeper, add)
	for _, name := range f.clusters {
		judgeCluster(name, f.state.Clusters[name], f.state.Judges, add)
		judgeToken(name, f.state.Clusters[name], f.now, add)
	}
	if f.account != nil {
		judgeAccount(f.clusters[0], *f.account, add)
	}
	return findings
}

type adder func(status doctor.Status, check, subject, fix, found string, args ...any)

// judgeBelief compares whom Vault believes with whom the hub has its spokes believe.
func judgeBelief(f facts, add adder) {
	const again = "compare with the copy that is kept offline, then writ vault setup for any cluster"
	switch s := f.state; {
	case !s.Judges:
		add(doctor.Warning, "judge", "", "install the plugin (docs/vault.md), then writ vault setup for each cluster", "Vault has no auth method of Writ at %s: it judges no bundle", vault.AuthMount)
		return
	case s.Problem != "":
		add(doctor.Failing, "trust root", "", again, "%s", s.Problem)
	case !same(s.TrustRoot, f.info["root.json"]):
		add(doctor.Failing, "trust root", "", again, "Vault judges by another one (version %d) than the hub publishes", s.Version)
	case s.Expires.Sub(f.now) < 30*24*time.Hour:
		add(doctor.Warning, "trust root", "", "sign the next version, then writ vault setup", "version %d ends %s", s.Version, s.Expires.Format(time.DateOnly))
	default:
		add(doctor.Fine, "trust root", "", "", "version %d, until %s", s.Version, s.Expires.Format(time.DateOnly))
	}
	if f.state.Authorities != f.info["authorities.pem"] {
		add(doctor.Failing, "authorities", "", "writ vault setup for any cluster", "Vault knows other CA certificates than the hub publishes: it refuses the SVIDs of the others")
	} else {
		add(doctor.Fine, "authorities", "", "", "those of the hub")
	}
}

// same compares JSON whatever its spaces.
func same(a, b string) bool {
	var x, y json.RawMessage
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	ax, errA := json.Marshal(x)
	by, errB := json.Marshal(y)
	return errA == nil && errB == nil && string(ax) == string(by)
}

// soon is how long before its end Vault's token in a cluster is warned of.
const soon = 14 * 24 * time.Hour

// judgeToken looks at the end of the token by which Vault works in a cluster.
func judgeToken(name string, c vault.ClusterState, now time.Time, add adder) {
	again := "writ vault rotate " + name
	switch end := c.TokenEnds; {
	case !c.Mounted:
	case end.IsZero():
		add(doctor.Unknown, "token", name, again, "when Vault's token in the cluster ends was not written down")
	case !now.Before(end):
		add(doctor.Failing, "token", name, again, "Vault's token in the cluster ended %s: no action gets a credential", end.Format(time.DateOnly))
	case end.Sub(now) < soon:
		add(doctor.Warning, "token", name, again, "Vault's token in the cluster ends %s", end.Format(time.DateOnly))
	default:
		add(doctor.Fine, "token", name, "", "until %s", end.Format(time.DateOnly))
	}
}

func judgeCluster(name string, c vault.ClusterState, judges bool, add adder) {
	setup := "writ vault setup " + name
	if !c.Mounted && !c.Pinned && !c.Stock {
		add(doctor.Unknown, "cluster", name, setup+", if Vault is to issue its credentials", "Vault knows nothing of it")
		return
	}
	well := true
	fail := func(status doctor.Status, found string) {
		well = false
		add(status, "cluster", name, setup, "%s", found)
	}
	vouches := c.Audience != ""
	if vouches {
		setup += " --oidc"
	}
	if !c.Mounted && !vouches {
		fail(doctor.Failing, "no Kubernetes engine at "+vault.Mount(name)+"/")
	}
	if c.Mounted && c.Host == "" {
		fail(doctor.Failing, "its Kubernetes engine does not know the API server")
	}
	if c.Stock {
		fail(doctor.Warning, "its spoke may log in by its certificate alone, and then Vault judges no bundle")
	}
	if judges && !c.Stock && !c.Pinned {
		fail(doctor.Failing, "the auth method does not know it")
	}
	if c.Pinned && !c.Hands {
		fail(doctor.Failing, "the policy "+vault.HandsPolicy(name)+" is not as it was made")
	}
	if vouches && !c.Vouched {
		fail(doctor.Failing, "Vault has no key "+vault.OIDCKey(name)+" to vouch for its actions with")
	}
	if vouches && c.Mounted {
		fail(doctor.Warning, "Vault vouches for its actions, and has an engine that issues in it as well")
	}
	switch {
	case well && vouches:
		add(doctor.Fine, "cluster", name, "", "judged, and vouched for to %s", c.Audience)
	case well:
		add(doctor.Fine, "cluster", name, "", "judged, at %s", c.Host)
	}
}
