package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/apply"
)

// diagnosed is what writ doctor says, as check/subject, of what is not well.
func diagnosed(ctx context.Context, t require.TestingT, f *fleet.Fleet) (errors, warnings []string, out string) {
	out, err := f.Writ(ctx, "doctor", "-o", "json", "--hub-health", f.Health("writ-hub"), "--vault", f.Vault.Address(), "--vault-ca", f.Vault.CACert())
	var says struct {
		Findings []struct{ Status, Check, Subject, Found, Fix string }
		Errors   int
	}
	require.NoError(t, json.NewDecoder(strings.NewReader(out)).Decode(&says), out)
	require.Equal(t, says.Errors > 0, err != nil, "the status says whether something is wrong: %s", out)
	for _, finding := range says.Findings {
		require.NotEmpty(t, finding.Fix)
		what := finding.Check + "/" + finding.Subject
		if finding.Status == "error" {
			errors = append(errors, what)
		} else {
			warnings = append(warnings, what)
		}
	}
	return errors, warnings, out
}

// A fleet in which one thing after the other is broken and mended.
func TestDoctorFindsWhatIsBroken(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}, Vault: true})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	until := func(wantErrors, wantWarnings []string) {
		t.Helper()
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			errors, warnings, out := diagnosed(ctx, c, f)
			require.Equal(c, wantErrors, errors, out)
			require.Equal(c, wantWarnings, warnings, out)
		}, 60*time.Second, 200*time.Millisecond)
	}
	until(nil, nil)

	f.KillSpoke("east")
	until([]string{"spoke/east"}, nil)
	require.NoError(t, f.StartSpoke(ctx, "east"))
	until(nil, nil)

	require.NoError(t, f.Vault.Seal(ctx))
	until([]string{"vault/"}, nil)
	require.NoError(t, f.Vault.Unseal(ctx))

	require.NoError(t, f.Client.Delete(ctx, &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: "writ-approver"}}))
	until([]string{"admission/"}, nil)
	require.NoError(t, apply.YAML(ctx, f.Hub.RESTConfig(), deployhub.Manifests()))
	until(nil, nil)

	f.KillHub()
	var info corev1.ConfigMap
	require.NoError(t, f.Client.Get(ctx, client.ObjectKey{Namespace: "writ-system", Name: "writ-hub"}, &info))
	until([]string{"hub/health"}, []string{"hub/" + info.Data["enrol"]})
	require.NoError(t, f.StartHub(ctx))
	until(nil, nil)
}
