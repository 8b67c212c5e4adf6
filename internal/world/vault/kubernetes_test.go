package vault_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/vault"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

const helper = "WRIT_TEST_VAULT_HELPER"

// TestMain also is the process that TestPluginsDieWithTheParent kills.
func TestMain(m *testing.M) {
	if dir := os.Getenv(helper); dir != "" {
		s, err := vault.Start(context.Background(), vault.Options{Dir: dir})
		if err == nil {
			var c *api.Client
			if c, err = s.Client(s.RootToken()); err == nil {
				err = c.Sys().Mount("kubernetes", &api.MountInput{Type: vault.KubernetesPlugin})
			}
			if err == nil { // plugins start on their first use
				_, err = c.Logical().Write("kubernetes/config", map[string]any{
					"kubernetes_host": "https://127.0.0.1:1", "service_account_jwt": "none",
				})
			}
		}
		fmt.Println("started:", err)
		select {}
	}
	worldtest.Main(m)
}

// The engine is given an account of its own in the cluster, and issues a
// credential that can do what the role says, until the lease ends.
func TestTheKubernetesEngineIssuesAWorkingCredential(t *testing.T) {
	s := worldtest.Vault(t)
	c := worldtest.Cluster(t, cluster.Options{Controllers: true})
	ns := worldtest.Namespace(t, c)
	admin := worldtest.Client(t, c)
	mount := mountEngine(t, s, c, ns, admin)
	vaultClient := client(t, s)

	rules, err := json.Marshal(map[string]any{"rules": []rbacv1.PolicyRule{{
		APIGroups: []string{""}, Resources: []string{"configmaps"}, Verbs: []string{"get", "list"},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, vaultClient, mount+"/roles/reader", map[string]any{
		"allowed_kubernetes_namespaces": ns,
		"generated_role_rules":          string(rules),
		"token_default_ttl":             "10m",
	})
	secret := write(t, vaultClient, mount+"/creds/reader", map[string]any{"kubernetes_namespace": ns})

	leased := leasedClient(t, c, secret.Data["service_account_token"].(string))
	if _, err := leased.CoreV1().ConfigMaps(ns).List(t.Context(), metav1.ListOptions{}); err != nil {
		t.Fatalf("what the role allows: %v", err)
	}
	if _, err := leased.CoreV1().Secrets(ns).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Fatalf("what the role does not allow: got %v, want forbidden", err)
	}
	if err := vaultClient.Sys().RevokeWithContext(t.Context(), secret.LeaseID); err != nil {
		t.Fatal(err)
	}
	worldtest.Eventually(t, "the credential to end", func(ctx context.Context) error {
		if _, err := leased.CoreV1().ConfigMaps(ns).List(ctx, metav1.ListOptions{}); err == nil {
			return fmt.Errorf("it still works")
		}
		return nil
	})
}

// mountEngine gives Vault a ServiceAccount in the cluster, as its setup for
// generated roles demands, and mounts the engine on it.
func mountEngine(t *testing.T, s *vault.Server, c *cluster.Cluster, ns string, admin *kubernetes.Clientset) (mount string) {
	t.Helper()
	ctx := t.Context()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "vault"}}
	if _, err := admin.CoreV1().ServiceAccounts(ns).Create(ctx, account, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	role := &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: ns},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"serviceaccounts", "serviceaccounts/token"}, Verbs: []string{"create", "update", "delete"}},
			{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles", "rolebindings"}, Verbs: []string{"create", "update", "delete"}},
			{APIGroups: []string{rbacv1.GroupName}, Resources: []string{"roles"}, Verbs: []string{"bind", "escalate"}},
		},
	}
	if _, err := admin.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = admin.RbacV1().ClusterRoles().Delete(context.Background(), ns, metav1.DeleteOptions{}) })
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "vault"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: ns},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Name: "vault", Namespace: ns}},
	}
	if _, err := admin.RbacV1().RoleBindings(ns).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	token, err := c.TokenFor(ctx, ns, "vault", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	vaultClient := client(t, s)
	if err := vaultClient.Sys().MountWithContext(ctx, ns, &api.MountInput{Type: vault.KubernetesPlugin}); err != nil {
		t.Fatal(err)
	}
	write(t, vaultClient, ns+"/config", map[string]any{
		"kubernetes_host":     c.Server(),
		"kubernetes_ca_cert":  string(c.CAPEM()),
		"service_account_jwt": token,
	})
	return ns
}

func leasedClient(t *testing.T, c *cluster.Cluster, token string) *kubernetes.Clientset {
	t.Helper()
	config := rest.AnonymousClientConfig(c.RESTConfig())
	config.BearerToken = token
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

func write(t *testing.T, client *api.Client, path string, data map[string]any) *api.Secret {
	t.Helper()
	secret, err := client.Logical().WriteWithContext(t.Context(), path, data)
	if err != nil {
		t.Fatal(err)
	}
	return secret
}

func TestPluginsDieWithTheParent(t *testing.T) {
	worldtest.Vault(t) // compiles, skips where it must
	dir := t.TempDir()
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), helper+"="+dir)
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	defer parent.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "started: <nil>\n" {
		t.Fatalf("the helper said %q, %v", line, err)
	}
	if programs := runningIn(dir); len(programs) < 2 {
		t.Fatalf("want vault and its plugin, got %q", programs)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	worldtest.Eventually(t, "the programs to end", func(context.Context) error {
		if programs := runningIn(dir); len(programs) > 0 {
			return fmt.Errorf("still there: %q", programs)
		}
		return nil
	})
}

// runningIn lists the programs whose command line names the directory.
func runningIn(dir string) (programs []string) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if line, _ := os.ReadFile(file); strings.Contains(string(line), dir) {
			programs = append(programs, strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	return programs
}
