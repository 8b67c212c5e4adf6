package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/e2e/page"
	"github.com/writ-dev/writ/internal/world/tools"
)

// Every command of the pages about using and operating Writ is typed, page by page, each page into one shell. What the table says
// is put in for what only holds elsewhere, or would not end. The pages about installing are typed on kind: make e2e.
func TestEveryCommandOfTheDocumentation(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}, Vault: true})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	east, err := f.Workloads("east")
	require.NoError(t, err)
	require.NoError(t, east.Create(ctx, fleet.Deployment("checkout", 4)))
	require.NoError(t, fleet.Ready(ctx, east, "checkout", fleet.GoodImage))
	approver, err := f.Hub.KubeconfigFor("sam", []string{"sre"})
	require.NoError(t, err)
	paths, err := tools.EnsureAll(ctx, os.Stderr, tools.Kubectl)
	require.NoError(t, err)

	dir, data := t.TempDir(), filepath.Join(f.Dir, "hub")
	for name, from := range map[string]string{"root.json": "trust/root.json", "root-1.key": "trust/root-1.key", "root-3.key": "trust/root-3.key"} {
		raw, err := os.ReadFile(filepath.Join(f.Dir, from))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
	}
	for _, name := range fleet.Approvers {
		raw, err := os.ReadFile(f.ApproverKey(name) + ".pub")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".pub"), raw, 0o600))
	}
	var info corev1.ConfigMap
	require.NoError(t, f.Client.Get(ctx, client.ObjectKey{Namespace: "writ-system", Name: "writ-hub"}, &info))
	here := strings.NewReplacer(
		"/var/lib/writ-hub", data, "hub.example.org:7444", info.Data["connect"],
		"example.org", fleet.TrustDomain,
		"http://localhost:8080", f.Health("writ-hub"), "localhost:8080", strings.TrimPrefix(f.Health("writ-hub"), "http://"),
		"https://vault."+"example.org:8200", f.Vault.Address(), "vault-ca.pem", f.Vault.CACert(),
		"east.kubeconfig", f.Clusters["east"].Kubeconfig(),
		"writ cluster revoke", "writ cluster revoke --yes", "writ cluster rejoin", "writ cluster rejoin --yes", "writ cluster remove", "writ cluster remove --yes",
		// This fleet has no identities for reading logs: spoke/executor has them read.
		"--action collect-diagnostics --target deployment/shop/checkout --wait", "--action collect-diagnostics --target deployment/shop/checkout --dry-run",
		"writ request diagnostics why", "! writ request diagnostics more",
		// Nor pods that run: probe_test.go has them played.
		"--param mode=connect --param port=80", "--param mode=connect --param port=80 --dry-run",
		"writ request get -w", "! timeout -s INT 2 writ request get -w",
		"writ unfreeze NAME", "writ freeze list -o name | xargs -n 1 basename | xargs -n 1 writ unfreeze",
		"writ approve stop --key ~/.ssh/id_ed25519", "until writ request get stop | grep -q AwaitingApproval; do sleep 0.2; done; KUBECONFIG="+approver+
			" writ approve stop --yes --key "+f.ApproverKey("sam"),
		"writ deny stop", "KUBECONFIG="+approver+" writ deny stop --yes",
		"writ approve ", "until writ request get many | grep -q AwaitingApproval; do sleep 0.2; done; KUBECONFIG="+approver+" writ approve --yes ",
		"writ deny ", "until writ request get fewer | grep -q AwaitingApproval; do sleep 0.2; done; KUBECONFIG="+approver+" writ deny --yes ",
	)
	for _, name := range []string{"rollouts", "freeze", "approvals", "using", "operating", "vault", "troubleshooting"} {
		t.Run(name, func(t *testing.T) {
			asBefore(ctx, t, east)
			commands, err := page.Commands("../docs/"+name+".md", "console")
			require.NoError(t, err)
			shell := exec.CommandContext(ctx, "bash", "-euxo", "pipefail", "-c", here.Replace(strings.Join(commands, "\n")))
			shell.Dir = dir
			shell.Env = append(os.Environ(), "PATH="+bin+":"+filepath.Dir(paths[tools.Kubectl])+":"+os.Getenv("PATH"), "KUBECONFIG="+f.Hub.Kubeconfig(), "XDG_CONFIG_HOME="+dir,
				"WRIT_AUDIT_LOG="+f.AuditLog(), "WRIT_AUDIT_KEY="+f.AuditKey(),
				"VAULT_ADDR="+f.Vault.Address(), "VAULT_CACERT="+f.Vault.CACert(), "VAULT_TOKEN="+f.Vault.RootToken())
			out, err := shell.CombinedOutput()
			require.NoError(t, err, "%s", out)
		})
	}
}

// asBefore gives the Deployment of the pages its four pods again.
func asBefore(ctx context.Context, t *testing.T, east client.Client) {
	t.Helper()
	var d appsv1.Deployment
	require.NoError(t, east.Get(ctx, client.ObjectKey{Namespace: fleet.Namespace, Name: "checkout"}, &d))
	require.NoError(t, east.Patch(ctx, &d, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"replicas":4}}`))))
	require.NoError(t, fleet.Ready(ctx, east, "checkout", fleet.GoodImage))
}
