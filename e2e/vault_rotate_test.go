package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/api/v1alpha1"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// Vault's token in a cluster is changed while actions are under way, and none is lost: also where the tokens of before end at once, which
// nobody can use then.
func TestVaultsTokenIsRotated(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}, Vault: true, PerMinute: 10000})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	const several = 6
	for i := range several {
		w.create(ctx, fmt.Sprintf("w%d", i))
	}
	workload := f.Clusters["east"]
	admin, err := kubernetes.NewForConfig(workload.RESTConfig())
	require.NoError(t, err)
	made, err := admin.CoreV1().ServiceAccounts(deployspoke.SystemNamespace).CreateToken(ctx, deployspoke.VaultAccount, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(t, err)
	counts := func(ctx context.Context) bool {
		review, err := admin.AuthenticationV1().TokenReviews().Create(ctx, &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: made.Status.Token}}, metav1.CreateOptions{})
		require.NoError(t, err)
		return review.Status.Authenticated
	}
	out, err := f.WritVault(ctx, "vault", "rotate", "nowhere", "--workload", workload.Kubeconfig())
	require.ErrorContains(t, err, "writ vault setup nowhere makes it; nothing was done", out)
	require.True(t, counts(ctx))

	var asked []*v1alpha1.ActionRequest
	for i := range several / 2 {
		asked = append(asked, w.scale(ctx, fmt.Sprintf("w%d", i), 4))
	}
	out, err = f.WritVault(ctx, "vault", "rotate", "east", "--workload", workload.Kubeconfig())
	require.NoError(t, err)
	require.Contains(t, out, "the token of before counts until its own end")
	require.True(t, counts(ctx))
	for i := several / 2; i < several; i++ {
		asked = append(asked, w.scale(ctx, fmt.Sprintf("w%d", i), 4))
	}
	out, err = f.WritVault(ctx, "vault", "rotate", "east", "--workload", workload.Kubeconfig(), "--end-old")
	require.NoError(t, err)
	require.Contains(t, out, "made anew")
	for _, r := range asked {
		done := w.ended(ctx, r)
		require.Equal(t, v1alpha1.PhaseSucceeded, done.Status.Phase, done.Status.Message)
	}
	worldtest.Eventually(t, "the tokens of before to count no more", func(ctx context.Context) error {
		if counts(ctx) {
			return fmt.Errorf("it still counts")
		}
		return nil
	})
	out, err = f.WritVault(ctx, "vault", "doctor", "east", "--workload", workload.Kubeconfig())
	require.NoError(t, err, out)
	clean(ctx, t, f)
}
