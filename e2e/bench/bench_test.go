// Package bench measures whole systems: a hub and spokes as processes of their own, on real API servers whose etcd syncs
// every write as in production. It asserts nothing about time; docs/performance.md keeps the figures.
//
//	go test -run '^$' -bench . -benchtime 1x -timeout 60m ./e2e/bench
package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

var bin string

func TestMain(m *testing.M) { os.Exit(fleet.Main(m, func(dir string) { bin = dir })) }

// start starts a fleet whose rate limits do not bind.
func start(b *testing.B, o fleet.Options) *fleet.Fleet {
	b.Helper()
	o.Bin, o.Dir, o.Progress, o.PerMinute, o.Queue, o.Fsync = bin, b.TempDir(), os.Stderr, 1_000_000, 4096, true
	f, err := fleet.Start(b.Context(), o)
	b.Cleanup(f.Stop)
	require.NoError(b, err)
	return f
}

// unhurried is a client that the client-side rate limit does not slow down.
func unhurried(b *testing.B, f *fleet.Fleet, config *rest.Config) client.WithWatch {
	b.Helper()
	config = rest.CopyConfig(config)
	config.QPS = -1
	c, err := client.NewWithWatch(config, client.Options{Scheme: f.Client.Scheme()})
	require.NoError(b, err)
	return c
}

// settled makes a Deployment whose status says what a scale to that many replicas will bring about, so that on an API server
// without controllers the prediction comes true at once.
func settled(ctx context.Context, c client.Client, name string, replicas, after int32) error {
	d := fleet.Deployment(name, replicas)
	if err := c.Create(ctx, d); err != nil {
		return err
	}
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: 1000, Replicas: after, UpdatedReplicas: after, ReadyReplicas: after, AvailableReplicas: after}
	return c.Status().Update(ctx, d)
}

func scale(cluster, name string, replicas int) *v1alpha1.ActionRequest {
	return &v1alpha1.ActionRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: v1alpha1.ActionRequestSpec{Cluster: cluster, Action: "scale",
			Parameters: &apiextensionsv1.JSON{Raw: fmt.Appendf(nil, `{"replicas":%d}`, replicas)},
			Target:     v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: fleet.Namespace, Name: name}},
	}
}

// report adds the percentiles of what was measured, in milliseconds.
func report(b *testing.B, name string, took []time.Duration) {
	b.Helper()
	require.NotEmpty(b, took)
	slices.Sort(took)
	for percentile, share := range map[string]float64{"p50": 0.50, "p95": 0.95, "p99": 0.99} {
		b.ReportMetric(float64(took[int(share*float64(len(took)-1))].Microseconds())/1000, name+"-"+percentile+"-ms")
	}
	b.ReportMetric(0, "ns/op")
}

// resident is the memory of a process in MB (10⁶ bytes).
func resident(b *testing.B, pid int) float64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Skip("SKIPPED: memory is read from /proc")
	}
	pages, err := strconv.Atoi(strings.Fields(string(raw))[1])
	require.NoError(b, err)
	return float64(pages*os.Getpagesize()) / 1e6
}
