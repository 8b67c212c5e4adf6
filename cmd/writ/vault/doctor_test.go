package vault

import (
	"testing"
	"time"

	vaultapi "github.com/hashicorp/vault/api"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/cmd/writ/doctor"
	"github.com/writ-dev/writ/credentials/vault"
)

var noon = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

func well() facts {
	return facts{now: noon, clusters: []string{"east"}, info: map[string]string{"root.json": `{"a": 1}`, "authorities.pem": "ca"},
		health: &vaultapi.HealthResponse{Initialized: true, Version: "1.21.1", ServerTimeUTC: noon.Unix()},
		state: vault.State{Judges: true, TrustRoot: `{"a":1}`, Version: 1, Expires: noon.AddDate(1, 0, 0), Authorities: "ca",
			Clusters: map[string]vault.ClusterState{"east": {Mounted: true, Host: "https://east:6443", Pinned: true, Hands: true, TokenEnds: noon.AddDate(0, 2, 0)}}},
		keeper: keeper{vault.AuthorityState{Set: true, Mount: "writ-ca", Policy: true, Issuer: "https://hub", Keys: []string{"a\n", "b"}, Signs: true}, "https://hub", []string{"b", "a"}}}
}

func TestAVaultThatIsWell(t *testing.T) {
	f := well()
	f.account = fenced()
	for _, f := range judge(f) {
		require.Equal(t, doctor.Fine, f.Status, "%+v", f)
	}
}

// fenced is an account of Vault as deploy/spoke makes it.
func fenced() *account { return &account{there: true, namespaces: []string{"shop"}} }

// with is a change of such an account.
func with(change func(*account)) func(*facts) {
	return func(f *facts) { f.account = fenced(); change(f.account) }
}

// Each thing that is wrong is one finding, with what to do, and nothing else is called wrong.
func TestWhatIsWrongWithVaultIsFoundAlone(t *testing.T) {
	cluster := func(change func(*vault.ClusterState)) func(*facts) {
		return func(f *facts) {
			c := f.state.Clusters["east"]
			change(&c)
			f.state.Clusters["east"] = c
		}
	}
	for name, tc := range map[string]struct {
		change func(*facts)
		status doctor.Status
		says   string
	}{
		"sealed":                      {func(f *facts) { f.health.Sealed = true }, doctor.Failing, "sealed"},
		"its clock":                   {func(f *facts) { f.health.ServerTimeUTC += 600 }, doctor.Failing, "10m0s off"},
		"no auth method":              {func(f *facts) { f.state.Judges = false }, doctor.Warning, "judges no bundle"},
		"another trust root":          {func(f *facts) { f.state.TrustRoot = `{"a":2}` }, doctor.Failing, "another one"},
		"a trust root that has ended": {func(f *facts) { f.state.Problem = "version 1 expired" }, doctor.Failing, "expired"},
		"a trust root that will end":  {func(f *facts) { f.state.Expires = noon.AddDate(0, 0, 3) }, doctor.Warning, "ends 2026-11-28"},
		"another CA":                  {func(f *facts) { f.state.Authorities = "old" }, doctor.Failing, "other CA certificates"},
		"another policy for the CA":   {func(f *facts) { f.keeper.Policy = false }, doctor.Failing, "not as it was made"},
		"a new key of the API server": {func(f *facts) { f.keeper.keys = []string{"b", "c"} }, doctor.Failing, "signs no SVID for the hub"},
		"another CA than Vault's":     {func(f *facts) { f.keeper.Signs = false }, doctor.Warning, "does not have the key of the authority"},
		"an old authority":            {func(f *facts) { f.keeper.Older = 2 }, doctor.Warning, "the keys of 2 authorities that nobody trusts"},
		"a way around":                {cluster(func(c *vault.ClusterState) { c.Stock = true }), doctor.Warning, "by its certificate alone"},
		"no engine":                   {cluster(func(c *vault.ClusterState) { c.Mounted, c.Host = false, "" }), doctor.Failing, "no Kubernetes engine"},
		"an engine without a cluster": {cluster(func(c *vault.ClusterState) { c.Host = "" }), doctor.Failing, "does not know the API server"},
		"not pinned":                  {cluster(func(c *vault.ClusterState) { c.Pinned = false }), doctor.Failing, "does not know it"},
		"a policy that was changed":   {cluster(func(c *vault.ClusterState) { c.Hands = false }), doctor.Failing, "not as it was made"},
		"a token that has ended":      {cluster(func(c *vault.ClusterState) { c.TokenEnds = noon }), doctor.Failing, "ended 2026-11-25"},
		"a token that will end":       {cluster(func(c *vault.ClusterState) { c.TokenEnds = noon.AddDate(0, 0, 13) }), doctor.Warning, "ends 2026-12-08"},
		"a token of unknown end":      {cluster(func(c *vault.ClusterState) { c.TokenEnds = time.Time{} }), doctor.Unknown, "not written down"},
		"no account":                  {func(f *facts) { f.account = &account{} }, doctor.Failing, "no ServiceAccount writ-system/writ-vault"},
		"an account without a place":  {with(func(a *account) { a.namespaces = nil }), doctor.Failing, "in no namespace"},
		"an account that lacks":       {with(func(a *account) { a.lacks = []string{"bind roles in shop"} }), doctor.Failing, "may not bind roles in shop"},
		"an account that is more":     {with(func(a *account) { a.beyond = []string{"escalate roles"} }), doctor.Failing, "in the whole cluster, escalate roles"},
		"an account without a fence":  {with(func(a *account) { a.unfenced = []string{"x"} }), doctor.Failing, "does not hold Vault"},
		"a cluster of which it knows nothing": {cluster(func(c *vault.ClusterState) { *c = vault.ClusterState{} }), doctor.Unknown,
			"knows nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			f := well()
			tc.change(&f)
			var wrong []doctor.Finding
			for _, one := range judge(f) {
				if one.Status != doctor.Fine {
					wrong = append(wrong, one)
				}
			}
			require.Len(t, wrong, 1, "%+v", wrong)
			require.Equal(t, tc.status, wrong[0].Status)
			require.Contains(t, wrong[0].Found, tc.says)
			require.NotEmpty(t, wrong[0].Fix)
		})
	}
}
