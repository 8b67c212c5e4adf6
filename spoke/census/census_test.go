package census_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
	"github.com/writ-dev/writ/spoke/census"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

// The spoke's own account sees the version and the nodes; without the right, the version alone.
func TestCensus(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Name: "census"})
	admin := worldtest.Client(t, c)
	for name, cpu := range map[string]string{"one": "3900m", "two": "2"} {
		node, err := admin.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		require.NoError(t, err)
		node.Status.Allocatable = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu), corev1.ResourceMemory: resource.MustParse("1Gi"), corev1.ResourcePods: resource.MustParse("110")}
		_, err = admin.CoreV1().Nodes().UpdateStatus(t.Context(), node, metav1.UpdateOptions{})
		require.NoError(t, err)
	}
	manifests, err := deployspoke.Manifests(deployspoke.Options{})
	require.NoError(t, err)
	require.NoError(t, apply.YAML(t.Context(), c.RESTConfig(), manifests))
	token, err := c.TokenFor(t.Context(), deployspoke.SystemNamespace, deployspoke.SpokeAccount, 10*60e9)
	require.NoError(t, err)
	config := rest.AnonymousClientConfig(c.RESTConfig())
	config.BearerToken = token
	taker, err := census.New(config)
	require.NoError(t, err)
	facts := taker.Take(t.Context())
	require.Equal(t, uint32(2), facts.GetNodes())
	require.Equal(t, uint64(5900), facts.GetCpuMillis())
	require.Equal(t, uint64(2<<30), facts.GetMemoryBytes())
	require.Equal(t, uint64(220), facts.GetPods())
	require.Regexp(t, `^v1\.\d+\.`, facts.GetKubernetesVersion())

	require.NoError(t, admin.RbacV1().ClusterRoleBindings().Delete(t.Context(), deployspoke.SpokeAccount, metav1.DeleteOptions{}))
	require.Eventually(t, func() bool { return taker.Take(t.Context()).GetNodes() == 0 }, 20e9, 50e6)
	require.NotEmpty(t, taker.Take(t.Context()).GetKubernetesVersion())
}
