// Package worldtest gives tests real clusters and a real Vault, started once
// per test binary and shared by its tests: each takes a namespace or a mount
// of its own. A test that stops, seals or breaks things starts its own with
// cluster.Start and vault.Start.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { worldtest.Main(m) }
//
// Tests are skipped with -short. The first run on a machine compiles the
// programs, which takes minutes; "make tools" does that beforehand.
package worldtest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/vault"
)

// world holds what the tests of this binary share.
var world struct {
	sync.Mutex
	managed  bool // Main will stop it all
	clusters map[string]func() (*cluster.Cluster, error)
	vault    func() (*vault.Server, error)
	stops    []func()
}

// Main runs the tests, stops what they shared, and exits.
func Main(m *testing.M) {
	world.managed = true
	code := m.Run()
	var wait sync.WaitGroup
	for _, stop := range world.stops {
		wait.Go(stop)
	}
	wait.Wait()
	os.Exit(code)
}

// Cluster returns the shared cluster with these options, and starts it for
// the first test that asks.
func Cluster(t testing.TB, opts cluster.Options) *cluster.Cluster {
	t.Helper()
	prepare(t)
	opts.Progress = os.Stderr
	world.Lock()
	key := fmt.Sprintf("%+v", opts)
	start, ok := world.clusters[key]
	if !ok {
		start = shared(func() (*cluster.Cluster, error) { return cluster.Start(context.Background(), opts) })
		if world.clusters == nil {
			world.clusters = map[string]func() (*cluster.Cluster, error){}
		}
		world.clusters[key] = start
	}
	world.Unlock()
	c, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Vault returns the shared Vault server, and starts it for the first test
// that asks.
func Vault(t testing.TB) *vault.Server {
	t.Helper()
	prepare(t)
	world.Lock()
	if world.vault == nil {
		world.vault = shared(func() (*vault.Server, error) {
			return vault.Start(context.Background(), vault.Options{Progress: os.Stderr})
		})
	}
	start := world.vault
	world.Unlock()
	s, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Client returns an administrator's client of the cluster.
func Client(t testing.TB, c *cluster.Cluster) *kubernetes.Clientset {
	t.Helper()
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// Namespace makes a namespace for the test, and asks for its deletion when
// the test ends.
func Namespace(t testing.TB, c *cluster.Cluster) string {
	t.Helper()
	namespaces := Client(t, c).CoreV1().Namespaces()
	made, err := namespaces.Create(t.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: prefix(t.Name())},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = namespaces.Delete(context.Background(), made.Name, metav1.DeleteOptions{}) })
	return made.Name
}

func prepare(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs real servers; run without -short")
	}
	if !world.managed {
		t.Fatal("worldtest: TestMain must call worldtest.Main")
	}
}

// shared starts once, and has Main stop it.
func shared[T interface{ Stop() }](start func() (T, error)) func() (T, error) {
	return sync.OnceValues(func() (T, error) {
		server, err := start()
		if err == nil {
			world.Lock()
			world.stops = append(world.stops, server.Stop)
			world.Unlock()
		}
		return server, err
	})
}

// prefix makes a test's name fit for a generated object name.
func prefix(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, name)
	return strings.TrimLeft(name[:min(len(name), 40)], "-") + "-"
}
