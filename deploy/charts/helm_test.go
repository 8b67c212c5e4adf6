package charts_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// installer runs Helm against a cluster whose pods are simulated.
type installer struct {
	*cluster.Cluster
	client   *kubernetes.Clientset
	metadata metadata.Interface
	program  string
	home     string
}

func newInstaller(t *testing.T) installer {
	t.Helper()
	program := os.Getenv("WRIT_HELM")
	if program == "" {
		t.Skip("set WRIT_HELM to a helm program; make charts does")
	}
	c := worldtest.Cluster(t, cluster.Options{Name: "helm", Workloads: true})
	objects, err := metadata.NewForConfig(c.RESTConfig())
	require.NoError(t, err)
	return installer{Cluster: c, client: worldtest.Client(t, c), metadata: objects, program: program, home: t.TempDir()}
}

// run runs Helm; what it says on a refusal is one line.
func (i installer) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), i.program, append(args, "--namespace", "writ-system")...)
	command.Env = append(os.Environ(), "KUBECONFIG="+i.Kubeconfig(), "HELM_CACHE_HOME="+i.home, "HELM_CONFIG_HOME="+i.home, "HELM_DATA_HOME="+i.home)
	out, err := command.CombinedOutput()
	return string(out), err
}

func (i installer) ok(t *testing.T, args ...string) string {
	t.Helper()
	out, err := i.run(t, args...)
	require.NoError(t, err, out)
	return out
}

func (i installer) refused(t *testing.T, says string, args ...string) {
	t.Helper()
	before := i.everything(t)
	out, err := i.run(t, args...)
	require.Error(t, err)
	require.Contains(t, out, says)
	said := slices.DeleteFunc(strings.Split(strings.TrimSpace(out), "\n"), func(line string) bool { return strings.HasPrefix(line, "level=") })
	require.Len(t, said, 1, out)
	require.Empty(t, minus(i.everything(t), before), "something was written")
}

// everything is all that people or charts make in the cluster, by resource and name. What runs by itself is left out: events,
// leases, pods, and what controllers put into every namespace.
func (i installer) everything(t *testing.T) []string {
	t.Helper()
	lists, err := i.client.Discovery().ServerPreferredResources()
	require.NoError(t, err)
	var all []string
	for _, list := range lists {
		group, err := schema.ParseGroupVersion(list.GroupVersion)
		require.NoError(t, err)
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") || !slices.Contains(resource.Verbs, "delete") ||
				slices.Contains([]string{"events", "leases", "pods", "endpoints", "endpointslices", "controllerrevisions", "nodes", "csinodes", "apiservices"}, resource.Name) {
				continue
			}
			found, err := i.metadata.Resource(group.WithResource(resource.Name)).List(t.Context(), metav1.ListOptions{})
			require.NoError(t, err, resource.Name)
			for _, o := range found.Items {
				if o.Namespace == "default" || strings.HasPrefix(o.Namespace, "kube-") || o.Name == "kube-root-ca.crt" || o.Name == "default" {
					continue
				}
				all = append(all, fmt.Sprintf("%s %s/%s", resource.Name, o.Namespace, o.Name))
			}
		}
	}
	slices.Sort(all)
	return all
}

func (i installer) secret(t *testing.T, name string, keys ...string) {
	t.Helper()
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name}, StringData: map[string]string{}}
	for _, key := range keys {
		secret.StringData[key] = "x"
	}
	_, err := i.client.CoreV1().Secrets("writ-system").Create(t.Context(), secret, metav1.CreateOptions{})
	require.NoError(t, err)
}

func minus(all, without []string) (rest []string) {
	for _, one := range all {
		if !slices.Contains(without, one) {
			rest = append(rest, one)
		}
	}
	return rest
}

// What a user does, in the order in which they may go wrong.
func TestHelmInstallsUpgradesRollsBackAndUninstalls(t *testing.T) {
	i := newInstaller(t)
	hub := []string{"writ-hub", "./writ-hub", "-f", "writ-hub/ci/values.yaml", "--set", "persistence.enabled=false"}
	spoke := []string{"writ-spoke", "./writ-spoke", "-f", "writ-spoke/ci/trial.yaml", "--set", "actions.namespaces={shop}"}
	install := func(what []string, more ...string) []string {
		return append(append([]string{"install"}, what...), more...)
	}

	i.refused(t, "the namespace writ-system is not there: kubectl create namespace", install(hub)...)
	i.refused(t, "the namespace writ-system is not there: kubectl create namespace", install(spoke)...)
	namespaces := i.client.CoreV1().Namespaces()
	_, err := namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "writ-system"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	i.settled(t, "writ-system")
	i.refused(t, "does not enforce Pod Security: kubectl label namespace writ-system pod-security.kubernetes.io/enforce=restricted", install(hub)...)
	i.refused(t, "does not enforce Pod Security", install(spoke)...)
	_, err = namespaces.Update(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "writ-system",
		Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}}}, metav1.UpdateOptions{})
	require.NoError(t, err)
	i.refused(t, "the Secret writ-system/writ-hub-trust is not there: writ trust init", install(hub)...)
	i.secret(t, "writ-hub-trust", "root.json", "gateway.key")
	i.refused(t, "actions.namespaces: there is no namespace shop in this cluster", install(spoke)...)
	_, err = namespaces.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	i.settled(t, "shop")
	i.refused(t, "the Secret writ-system/writ-join is not there: writ cluster register", install(spoke)...)
	i.secret(t, "writ-join", "join.yaml")

	before := i.everything(t)
	require.Contains(t, i.ok(t, install(hub, "--wait", "--timeout=60s")...), "writ cluster register NAME")
	require.Contains(t, i.ok(t, install(spoke, "--wait", "--timeout=60s")...), "NOTHING IS ALLOWED HERE YET: localPolicy.rules is empty.")
	i.refused(t, "cannot reuse a name that is still in use", install(spoke)...)

	i.ok(t, append(append([]string{"upgrade"}, hub...), "--set", "limits.perMinute=7", "--wait", "--timeout=60s")...)
	require.Contains(t, i.config(t, "writ-hub-config", "hub.yaml"), "perMinute: 7")
	i.ok(t, "rollback", "writ-hub", "1", "--wait", "--timeout=60s")
	require.Contains(t, i.config(t, "writ-hub-config", "hub.yaml"), "perMinute: 60")
	require.NoError(t, i.client.CoreV1().Secrets("writ-system").Delete(t.Context(), "writ-join", metav1.DeleteOptions{}))
	i.ok(t, append(append([]string{"upgrade"}, spoke...), "--set", "actions.allowed={scale}", "--wait", "--timeout=60s")...) // once joined, without its Secret

	i.ok(t, "uninstall", "writ-spoke", "--wait")
	i.ok(t, "uninstall", "writ-hub", "--wait")
	worldtest.Eventually(t, "what was installed to be gone", func(context.Context) error {
		left := minus(i.everything(t), before)
		for _, kept := range left {
			if !strings.HasPrefix(kept, "customresourcedefinitions /") {
				return fmt.Errorf("left: %v", left)
			}
		}
		require.Len(t, left, 7, "the kinds, and with them what people declared, are kept")
		return nil
	})
	require.Equal(t, []string{"secrets writ-system/writ-join"}, minus(before, i.everything(t)), "somebody else's was deleted")
}

func (i installer) config(t *testing.T, name, key string) string {
	t.Helper()
	found, err := i.client.CoreV1().ConfigMaps("writ-system").Get(t.Context(), name, metav1.GetOptions{})
	require.NoError(t, err)
	return found.Data[key]
}

// settled waits for what controllers put into a new namespace.
func (i installer) settled(t *testing.T, namespace string) {
	t.Helper()
	worldtest.Eventually(t, "namespace "+namespace+" to be ready", func(ctx context.Context) error {
		if _, err := i.client.CoreV1().ServiceAccounts(namespace).Get(ctx, "default", metav1.GetOptions{}); err != nil {
			return err
		}
		_, err := i.client.CoreV1().ConfigMaps(namespace).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
		return err
	})
}
