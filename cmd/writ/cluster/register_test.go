package cluster

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

// The hub writes a cluster's status whenever it likes: whoever gives it a token meanwhile is not told to look again.
func TestATokenIsGivenWhileTheHubWrites(t *testing.T) {
	world := worldtest.Cluster(t, cluster.Options{})
	require.NoError(t, apply.YAML(t.Context(), world.RESTConfig(), deployhub.CRDs()))
	c, err := client.New(world.RESTConfig(), client.Options{Scheme: access.Scheme(), Mapper: access.Mapper()})
	require.NoError(t, err)
	spec := func() v1alpha1.ClusterSpec {
		return v1alpha1.ClusterSpec{Join: v1alpha1.JoinToken{SHA256: hash("x"), IssuedAt: metav1.Now()}}
	}
	worldtest.Eventually(t, "the API server to know clusters", func(ctx context.Context) error { return declare(ctx, c, "north", spec()) })
	ctx, stop := context.WithCancel(t.Context())
	var hub sync.WaitGroup
	hub.Go(func() {
		object := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: "north"}}
		for n := 0; ctx.Err() == nil; n++ {
			message := []string{`{"status":{"message":"a"}}`, `{"status":{"message":"b"}}`}[n%2]
			_ = c.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, []byte(message)))
		}
	})
	for range 20 {
		require.NoError(t, declare(t.Context(), c, "north", spec()))
	}
	stop()
	hub.Wait()
}
