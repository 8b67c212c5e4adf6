package doctor

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	vaultapi "github.com/hashicorp/vault/api"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/show"
	"github.com/writ-dev/writ/internal/identity"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func found[T any](value T) seen[T] { return seen[T]{value: value, asked: true} }

// well is a fleet in which nothing is wrong.
func well(t *testing.T) facts {
	ca, err := identity.LoadCA(t.TempDir(), spiffeid.RequireTrustDomainFromString("writ.test"), noon)
	require.NoError(t, err)
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	root, err := trust.Sign(trust.Draft{Version: 1, Expires: noon.Add(365 * 24 * time.Hour),
		Keys: map[trust.Role][]ed25519.PublicKey{trust.RoleRoot: {public}}}, private)
	require.NoError(t, err)
	east := v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "east"}, Status: v1alpha1.ClusterStatus{Phase: "Joined", Connected: true,
		Capability: 2, SpokeVersion: "v1", LastContact: &metav1.Time{Time: noon.Add(-time.Minute)}, SVIDExpires: &metav1.Time{Time: noon.Add(time.Hour)}}}
	return facts{now: noon, api: found(clock{noon, noon}), fence: found(struct{}{}),
		kinds:     found(map[string]bool{"ActionPolicy": true, "ActionRequest": true, "Approval": true, "Cluster": true}),
		published: found(map[string]string{"enrol": "hub:7443", "connect": "hub:7444", "trustDomain": "writ.test", "audit.vkey": "v", "capability": "2", "authorities.pem": string(ca.Authorities().PEM()), "root.json": string(root)}),
		enrol:     found(noon.Add(time.Hour)), health: found("[+]store ok\n[+]caches ok\nreadyz check passed\n"),
		clusters: found([]v1alpha1.Cluster{east}), requests: found([]v1alpha1.ActionRequest{}),
		vault: found(&vaultapi.HealthResponse{Initialized: true, Version: "1.21.1", ServerTimeUTC: noon.Unix()})}
}

func TestAFleetThatIsWell(t *testing.T) {
	findings := judge(well(t))
	for _, f := range findings {
		require.Equal(t, Fine, f.Status, "%+v", f)
	}
	var out bytes.Buffer
	require.NoError(t, tell(&out, show.Table, false, findings))
	require.Equal(t, "errors: 0, warnings: 0, unknown: 0, ok: 14\n", out.String())
}

// Each thing that is wrong is one finding, with its subject and what to do, and nothing else is called wrong.
func TestWhatIsWrongIsFoundAlone(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Group: "writ.dev", Resource: "clusters"}, "", errors.New("no"))
	status := func(change func(*v1alpha1.ClusterStatus)) func(*facts) {
		return func(f *facts) { change(&f.clusters.value[0].Status) }
	}
	for name, c := range map[string]struct {
		wrong   func(*facts)
		status  Status
		check   string
		subject string
		says    string
	}{
		"API server away":      {func(f *facts) { f.api.err = errors.New("refused") }, Failing, "api", "", "refused"},
		"clock a little off":   {func(f *facts) { f.api.value.theirs = noon.Add(20 * time.Second) }, Warning, "clock", "the hub's API server", "20s ahead of"},
		"clock off":            {func(f *facts) { f.api.value.theirs = noon.Add(-time.Hour) }, Failing, "clock", "the hub's API server", "1h0m0s behind"},
		"no CRDs":              {func(f *facts) { f.kinds.err = apierrors.NewNotFound(schema.GroupResource{}, "") }, Failing, "crds", "", "does not know"},
		"a CRD missing":        {func(f *facts) { delete(f.kinds.value, "Approval") }, Failing, "crds", "Approval", "not defined"},
		"no fence":             {func(f *facts) { f.fence.err = errors.New("writ-requester is not in force") }, Failing, "admission", "", "not in force"},
		"fence not to be seen": {func(f *facts) { f.fence.err = forbidden }, Unknown, "admission", "", "not allowed"},
		"hub never ran": {func(f *facts) {
			f.published.err, f.enrol.asked = apierrors.NewNotFound(schema.GroupResource{}, "writ-hub"), false
		}, Failing, "hub", "", "not published"},
		"half published":         {func(f *facts) { delete(f.published.value, "connect") }, Failing, "hub", "ConfigMap writ-hub", "connect is missing"},
		"no authorities":         {func(f *facts) { f.published.value["authorities.pem"] = "x" }, Failing, "certificates", "authorities", "not a list"},
		"a forged trust root":    {func(f *facts) { f.published.value["root.json"] = "{}" }, Failing, "certificates", "trust root", "trust root"},
		"trust root ends":        {func(f *facts) { f.now = noon.Add(350 * 24 * time.Hour); later(f) }, Warning, "certificates", "the trust root", "ends at 2027-11-23"},
		"trust root ended":       {func(f *facts) { f.now = noon.Add(366 * 24 * time.Hour); later(f) }, Failing, "certificates", "the trust root", "ended at 2027-11-23"},
		"hub does not answer":    {func(f *facts) { f.enrol.err = errors.New("refused") }, Warning, "hub", "hub:7443", "does not answer"},
		"hub's SVID ends":        {func(f *facts) { f.enrol.value = noon.Add(time.Minute) }, Warning, "certificates", "the hub's SVID", "ends at"},
		"hub not ready":          {func(f *facts) { f.health.value = "[+]store ok\n[-]caches failed: being read\n" }, Failing, "hub", "health", "caches failed: being read"},
		"no health":              {func(f *facts) { f.health.err = errors.New("refused") }, Failing, "hub", "health", "no answer"},
		"something else answers": {func(f *facts) { f.health.value = "<html>\n" }, Failing, "hub", "health", `"<html>"`},
		"clusters not readable":  {func(f *facts) { f.clusters.err = forbidden }, Unknown, "clusters", "", "not allowed"},
		"spoke away":             {status(func(s *v1alpha1.ClusterStatus) { s.Connected = false }), Failing, "spoke", "east", "not connected since 2026-11-23T11:59:00Z (1m0s)"},
		"hub away": {status(func(s *v1alpha1.ClusterStatus) { s.LastContact.Time = noon.Add(-time.Hour) }), Failing, "spoke", "east",
			"has not said so since 2026-11-23T11:00:00Z (1h0m0s)"},
		"spoke refused": {status(func(s *v1alpha1.ClusterStatus) { s.Connected, s.Message = false, "SequenceAhead: old backup" }), Failing, "spoke", "east",
			"does not let it in: SequenceAhead"},
		"spoke older":   {status(func(s *v1alpha1.ClusterStatus) { s.Capability = 1 }), Warning, "version", "east", "capability 1, the hub 2"},
		"spoke newer":   {status(func(s *v1alpha1.ClusterStatus) { s.Capability = 3 }), Warning, "version", "east", "capability 3, the hub 2"},
		"spoke's clock": {status(func(s *v1alpha1.ClusterStatus) { s.ClockOffsetSeconds = -90 }), Failing, "clock", "east", "1m30s behind the hub's"},
		"spoke's SVID":  {status(func(s *v1alpha1.ClusterStatus) { s.SVIDExpires.Time = noon.Add(-time.Minute) }), Failing, "certificates", "the SVID of east", "ended at"},
		"token ran out": {status(func(s *v1alpha1.ClusterStatus) { *s = v1alpha1.ClusterStatus{} }), Warning, "spoke", "east", "never joined"},
		"revoked": {func(f *facts) {
			f.clusters.value[0].Spec.Revoked = &v1alpha1.Revocation{Reason: "stolen"}
			f.clusters.value[0].Status.Phase, f.clusters.value[0].Status.Message = v1alpha1.ClusterRevoked, "revoked: stolen"
		}, Warning, "spoke", "east", "revoked: stolen"},
		"revocation not taken in": {func(f *facts) { f.clusters.value[0].Spec.Revoked = &v1alpha1.Revocation{Reason: "stolen"} }, Failing, "spoke", "east",
			"the hub has not taken that in"},
		"Vault sealed":     {func(f *facts) { f.vault.value.Sealed = true }, Failing, "vault", "", "sealed"},
		"Vault not there":  {func(f *facts) { f.vault.err = errors.New("refused") }, Failing, "vault", "", "refused"},
		"Vault not set up": {func(f *facts) { f.vault.value.Initialized = false }, Failing, "vault", "", "not initialised"},
		"Vault's clock":    {func(f *facts) { f.vault.value.ServerTimeUTC -= 20 }, Warning, "clock", "Vault", "20s behind"},
		"no receipt": {func(f *facts) {
			f.requests.value = []v1alpha1.ActionRequest{{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "r1"}, Spec: v1alpha1.ActionRequestSpec{Cluster: "east"},
				Status: v1alpha1.ActionRequestStatus{Phase: v1alpha1.PhaseExecuting, Steps: []v1alpha1.StepStatus{{Name: "dispatch", At: metav1.NewTime(noon.Add(-time.Hour))}}}}}
		}, Warning, "queue", "east", "1 requests wait for it for more than 10m0s: default/r1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := well(t)
			c.wrong(&f)
			var wrong []Finding
			for _, finding := range judge(f) {
				if finding.Status != Fine {
					wrong = append(wrong, finding)
				}
			}
			require.Len(t, wrong, 1, "%+v", wrong)
			require.Equal(t, c.status, wrong[0].Status)
			require.Equal(t, c.check, wrong[0].Check)
			require.Equal(t, c.subject, wrong[0].Subject)
			require.Contains(t, wrong[0].Found, c.says)
			require.NotEmpty(t, wrong[0].Fix)
			require.NotContains(t, wrong[0].Found+wrong[0].Fix, "\n")
		})
	}
	f := well(t)
	f.clusters.value[0].Status.Connected, f.clusters.value[0].Status.Queue = false, 3
	require.Equal(t, 1, count(judge(f), Warning), "what waits is told besides")
}

// later moves all clocks along with now.
func later(f *facts) {
	f.api.value, f.enrol.value, f.vault.value.ServerTimeUTC = clock{f.now, f.now}, f.now.Add(time.Hour), f.now.Unix()
	s := &f.clusters.value[0].Status
	s.LastContact.Time, s.SVIDExpires.Time = f.now, f.now.Add(time.Hour)
}

// What a cluster or a stranger says is shown without what a terminal would act on.
func TestNothingHostileReachesATerminal(t *testing.T) {
	f := well(t)
	f.clusters.value[0].Status.Connected, f.clusters.value[0].Status.Message = false, "VersionSkew: \x1b[2Jx\ny"
	for _, format := range []string{show.Table, show.JSON} {
		var out bytes.Buffer
		require.NoError(t, tell(&out, format, false, judge(f)))
		require.NotContains(t, out.String(), "\x1b")
		require.NotContains(t, out.String(), "x\ny")
	}
}
