package intake_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"

	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/hub/intake"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

func TestAMissingKindIsNamed(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Name: "kinds"})
	require.EqualError(t, intake.Defined(c.RESTConfig()), "the API server does not know the kinds ActionPolicy, ActionRequest, ActionTemplate, Approval, Cluster, Freeze, Rollout "+
		"of writ.dev/v1alpha1: apply deploy/hub/crds, or let the chart do it (crds.install)")
	require.ErrorContains(t, intake.Fenced(t.Context(), c.RESTConfig()), "the admission policy writ-requester is not in force")
	require.NoError(t, apply.YAML(t.Context(), c.RESTConfig(), deployhub.CRDs()))
	worldtest.Eventually(t, "the kinds to be served", func(context.Context) error { return intake.Defined(c.RESTConfig()) })

	admin, err := client.New(c.RESTConfig(), client.Options{})
	require.NoError(t, err)
	crds, err := apply.Parse(deployhub.CRDs())
	require.NoError(t, err)
	for _, crd := range crds {
		if crd.GetName() == "approvals.writ.dev" {
			require.NoError(t, admin.Delete(t.Context(), crd))
		}
	}
	worldtest.Eventually(t, "one kind to be missed", func(context.Context) error {
		err := intake.Defined(c.RESTConfig())
		if err == nil || !strings.Contains(err.Error(), "the kinds Approval of") {
			return errors.Join(errors.New("it is not"), err)
		}
		return nil
	})
}
