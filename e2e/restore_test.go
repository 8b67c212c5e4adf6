package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

func scaleIn(cluster, name, replicas string) *v1alpha1.ActionRequest {
	return &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}, Spec: v1alpha1.ActionRequestSpec{
		Cluster: cluster, Action: "scale", Parameters: &apiextensionsv1.JSON{Raw: []byte(`{"replicas":` + replicas + `}`)},
		Target: v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: fleet.Namespace, Name: "checkout"}}}
}

// carriedOut asks for a scale and waits until it came true.
func carriedOut(ctx context.Context, t *testing.T, f *fleet.Fleet, r *v1alpha1.ActionRequest) {
	t.Helper()
	require.NoError(t, f.Client.Create(ctx, r))
	_, err := f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseSucceeded))
	require.NoError(t, err)
}

// The hub's disk is lost, and it is restored from a backup that was made while it worked. A cluster that has done nothing since
// goes on; one that has taken bundles that the hub no longer knows is refused, and nothing is signed for it; what was done is
// not done again.
func TestARestoredHubSignsNothingForAClusterThatIsAheadUntilTheRootKeysSaySo(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east", "west"}})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	for _, name := range []string{"east", "west"} {
		c, err := f.Workloads(name)
		require.NoError(t, err)
		require.NoError(t, c.Create(ctx, fleet.Deployment("checkout", 4)))
		require.NoError(t, fleet.Ready(ctx, c, "checkout", fleet.GoodImage))
		carriedOut(ctx, t, f, scaleIn(name, name+"-before", "5"))
	}
	file, data := filepath.Join(t.TempDir(), "hub.backup"), filepath.Join(f.Dir, "hub")
	out, err := f.Writ(ctx, "hub", "backup", "--data-dir", data, "-f", file)
	require.NoError(t, err)
	require.Contains(t, out, "it holds private keys")
	carriedOut(ctx, t, f, scaleIn("east", "since", "6"))

	f.KillHub()
	unheard := scaleIn("west", "unheard", "7") // while there is no hub
	require.NoError(t, f.Client.Create(ctx, unheard))
	require.NoError(t, os.Rename(data, data+".lost"))
	out, err = f.Writ(ctx, "hub", "restore", "--data-dir", data, "--trust-domain", fleet.TrustDomain, "-f", file)
	require.NoError(t, err)
	t.Log(out)
	require.NoError(t, f.StartHub(ctx))
	began := time.Now()

	cluster := func(name string) v1alpha1.ClusterStatus {
		var object v1alpha1.Cluster
		require.NoError(t, f.Client.Get(ctx, client.ObjectKey{Name: name}, &object))
		return object.Status
	}
	require.Eventually(t, func() bool {
		s := cluster("east")
		return !s.Connected && len(s.Message) > 0
	}, 90*time.Second, 200*time.Millisecond)
	require.Contains(t, cluster("east").Message, "SequenceAhead: ")
	r, err := f.Until(ctx, client.ObjectKeyFromObject(unheard), func(r *v1alpha1.ActionRequest) bool { return r.Status.Phase.Final() })
	require.NoError(t, err)
	require.Equal(t, string(refusal.HubRestored), r.Status.Reason, "whether it was done before is not known")

	// The API server tells in whole seconds when something was asked: what is of the second of the restore counts as asked before.
	require.Eventually(t, func() bool { return time.Since(began) > 2*time.Second }, 5*time.Second, 50*time.Millisecond)
	carriedOut(ctx, t, f, scaleIn("west", "west-after", "6")) // goes on
	refused := scaleIn("east", "east-after", "7")
	require.NoError(t, f.Client.Create(ctx, refused))
	r, err = f.Until(ctx, client.ObjectKeyFromObject(refused), func(r *v1alpha1.ActionRequest) bool { return r.Status.Message == "cluster east is not connected" })
	require.NoError(t, err)
	require.Nil(t, r.Status.Bundle)

	r, err = f.Until(ctx, client.ObjectKey{Namespace: "default", Name: "since"}, fleet.Phase(v1alpha1.PhaseSucceeded))
	require.NoError(t, err, "what is not known any more keeps its status")
	require.NotNil(t, r.Status.Bundle)
	east, err := f.Workloads("east")
	require.NoError(t, err)
	d := fleet.Deployment("checkout", 0)
	require.NoError(t, east.Get(ctx, client.ObjectKeyFromObject(d), d))
	require.EqualValues(t, 6, *d.Spec.Replicas, "and is not done again")

	// The root keys let the sequence begin anew; one of them is not enough, and neither is the gateway.
	statement := filepath.Join(t.TempDir(), "reset.json")
	root := filepath.Join(f.Dir, "trust")
	sign := []string{"trust", "reset-epoch", statement, "--root", filepath.Join(root, "root.json"), "--trust-domain", fleet.TrustDomain,
		"--cluster", "east", "--epoch", "2", "--key"}
	_, err = f.Writ(ctx, append(sign, filepath.Join(root, "gateway.key"))...)
	require.ErrorContains(t, err, "is not in version 1 of the trust root")
	out, err = f.Writ(ctx, append(sign, filepath.Join(root, "root-1.key"))...)
	require.NoError(t, err)
	require.Contains(t, out, "signed by 1 of the 2 root keys")
	_, err = f.Writ(ctx, "hub", "reset-epoch", "--data-dir", data, "-f", statement)
	require.ErrorContains(t, err, "it needs the signatures of 2 root keys")
	require.EqualValues(t, 1, cluster("east").Epoch)
	_, err = f.Writ(ctx, append(sign, filepath.Join(root, "root-3.key"))...)
	require.NoError(t, err)
	out, err = f.Writ(ctx, "hub", "reset-epoch", "--data-dir", data, "-f", statement)
	require.NoError(t, err)
	require.Contains(t, out, "epoch reset of 1 clusters: east")
	r, err = f.Until(ctx, client.ObjectKeyFromObject(refused), fleet.Phase(v1alpha1.PhaseSucceeded)) // it had waited
	require.NoError(t, err)
	require.EqualValues(t, 2, r.Status.Bundle.Epoch)
	require.EqualValues(t, 1, r.Status.Bundle.Sequence)
	require.Eventually(t, func() bool { s := cluster("east"); return s.Connected && s.Message == "" && s.Epoch == 2 }, 20*time.Second, 100*time.Millisecond)
	out, err = f.Writ(ctx, "audit", "verify")
	require.NoError(t, err, out)
	f.KillSpoke("east") // what the journal says counts after a restart, too
	require.NoError(t, f.StartSpoke(ctx, "east"))
	carriedOut(ctx, t, f, scaleIn("east", "east-last", "5"))
}
