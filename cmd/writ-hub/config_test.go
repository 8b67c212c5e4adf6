package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/deploy/charts"
	"github.com/writ-dev/writ/deploy/charts/render"
	"github.com/writ-dev/writ/hub/notify"
	"github.com/writ-dev/writ/internal/apply"
)

// What the chart writes, the hub reads: strictly, so that neither can change alone.
func TestTheHubReadsWhatItsChartWrites(t *testing.T) {
	raw, err := render.Render(t.Context(), render.Options{Chart: charts.Hub, Set: []string{"trustDomain=example.org",
		"advertise.enrol=hub.example.org:7443", "advertise.connect=hub.example.org:7444", "limits.perMinute=30", "limits.relaxedFor=30m", "limits.nodesOutPercent=10", "svidLife=30m",
		"approvals.groups[0].name=on-call", "approvals.groups[1].name=leads", "approvals.groups[1].after=15m", "approvals.secretName=hooks",
		"approvals.hooks[0].name=chat", "approvals.hooks[0].format=slack", "approvals.hooks[0].urlFile=/etc/writ/hooks/chat.url", "approvals.hooks[0].groups[0]=leads",
		"agentClasses[0].name=healer", `agentClasses[0].playbooks.p\.yaml=x`}})
	require.NoError(t, err)
	objects, err := apply.Parse(raw)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "hub.yaml")
	for _, o := range objects {
		if o.GetKind() == "ConfigMap" && o.GetName() == "writ-hub-config" {
			var written corev1.ConfigMap
			raw, err := yaml.Marshal(o)
			require.NoError(t, err)
			require.NoError(t, yaml.Unmarshal(raw, &written))
			require.NoError(t, os.WriteFile(path, []byte(written.Data["hub.yaml"]), 0o600))
		}
	}
	c, err := readConfig(path)
	require.NoError(t, err)
	require.Equal(t, config{
		TrustDomain: "example.org", DataDir: "/var/lib/writ-hub",
		Listen:    listeners{addresses: addresses{Enrol: ":7443", Connect: ":7444", Admission: ":7445"}, Health: ":8080"},
		Advertise: addresses{Enrol: "hub.example.org:7443", Connect: "hub.example.org:7444", Admission: "writ-hub-admission.writ-system.svc:443"},
		TrustRoot: "/etc/writ/trust/root.json", GatewayKey: "/etc/writ/trust/gateway.key",
		Limits:    limits{QueuePerCluster: 256, PerMinute: 30, RelaxedFor: metav1.Duration{Duration: 30 * time.Minute}, NodesOutPercent: 10},
		SVIDLife:  metav1.Duration{Duration: 30 * time.Minute},
		Reasoners: []reasoner{{AgentClass: "healer", Playbooks: "/etc/writ/playbooks/healer"}},
		Approvals: approvals{Groups: []approverGroup{{Name: "on-call"}, {Name: "leads", After: metav1.Duration{Duration: 15 * time.Minute}}},
			Hooks: []hook{{Name: "chat", Format: notify.Slack, URLFile: "/etc/writ/hooks/chat.url", Groups: []string{"leads"}}}},
	}, c)
	require.Contains(t, string(raw), "{name: hooks, mountPath: /etc/writ/hooks, readOnly: true}")
}

func TestTheHubReadsOfAKeyInVaultWhatItsChartWrites(t *testing.T) {
	raw, err := render.Render(t.Context(), render.Options{Chart: charts.Hub, Set: []string{"trustDomain=example.org",
		"advertise.enrol=hub.example.org:7443", "advertise.connect=hub.example.org:7444", "trust.gatewayTransit=transit/writ-gateway", "trust.caPKI=writ-ca",
		"vault.address=https://vault.example.org:8200", "vault.ca=-----BEGIN CERTIFICATE-----"}})
	require.NoError(t, err)
	_, written, found := strings.Cut(string(raw), "hub.yaml: |\n")
	require.True(t, found)
	written, _, _ = strings.Cut(written, "  vault-ca.pem:")
	path := filepath.Join(t.TempDir(), "hub.yaml")
	require.NoError(t, os.WriteFile(path, []byte(written), 0o600))
	c, err := readConfig(path)
	require.NoError(t, err)
	require.Equal(t, "transit/writ-gateway", c.GatewayTransit)
	require.Equal(t, "writ-ca", c.CAPKI)
	require.Equal(t, vaultConfig{Address: "https://vault.example.org:8200", CAFile: "/etc/writ/config/vault-ca.pem", TokenFile: "/var/run/secrets/writ-vault/token"}, c.Vault)
	require.Contains(t, string(raw), "{name: vault-token, mountPath: /var/run/secrets/writ-vault, readOnly: true}")
	require.Contains(t, string(raw), "serviceAccountToken: {audience: "+vault.HubAudience+", expirationSeconds: 3600, path: token}")
	require.Empty(t, c.GatewayKey)
	require.NotContains(t, string(raw), "gateway.key")
}

func TestTheGatewaysKeyIsInOnePlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.yaml")
	const reached = "vault: {address: \"https://v:8200\", caFile: ca.pem}\n"
	for keys, says := range map[string]string{
		"": "gatewayKey is not set, nor gatewayTransit",
		"gatewayKey: k\ngatewayTransit: transit/k\n" + reached:                                   "gatewayKey and gatewayTransit are both set",
		"gatewayKey: k\n" + reached:                                                              "vault is set, but neither gatewayTransit nor caPKI is",
		"gatewayTransit: k\n" + reached:                                                          "say MOUNT/NAME",
		"gatewayTransit: transit/k\n":                                                            "vault.address is \"\": say https://HOST:PORT",
		"gatewayTransit: transit/k\nvault: {address: \"http://v\", caFile: ca}\n":                "say https://HOST:PORT",
		"gatewayTransit: transit/k\nvault: {address: \"https://v\"}\n":                           "vault.caFile is not set",
		"gatewayKey: k\ncaPKI: writ-ca/\n":                                                       "caPKI: \"writ-ca/\" is no mount of Vault's",
		"gatewayKey: k\ncaPKI: writ-ca\n":                                                        "say https://HOST:PORT, which caPKI needs",
		"gatewayKey: k\ncaPKI: writ-ca\n" + reached:                                              "vault.tokenFile and caPKI go together",
		"gatewayTransit: transit/k\nvault: {address: \"https://v\", caFile: ca, tokenFile: t}\n": "vault.tokenFile and caPKI go together",
	} {
		require.NoError(t, os.WriteFile(path, []byte("trustDomain: x\nadvertise: {enrol: a:1, connect: a:2}\ntrustRoot: r\n"+keys), 0o600))
		_, err := readConfig(path)
		require.ErrorContains(t, err, says, keys)
		require.NotContains(t, err.Error(), "\n")
	}
}

func TestALifeOfSVIDsThatCannotBeMeantIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.yaml")
	for life, says := range map[string]string{"1m59s": "must be from 2m0s to 24h0m0s", "25h": "must be from", "-1h": "must be from", "1 day": "unknown unit", "2m": "trustDomain"} {
		require.NoError(t, os.WriteFile(path, []byte("advertise: {enrol: a:1, connect: a:2}\ntrustRoot: r\ngatewayKey: k\nsvidLife: "+life+"\n"), 0o600))
		_, err := readConfig(path)
		require.ErrorContains(t, err, says, life)
	}
}

func TestLimitsThatCannotBeMeantAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.yaml")
	for limits, says := range map[string]string{"{relaxedFor: 59s}": "limits.relaxedFor is 59s: it must be from 1m0s to 168h0m0s", "{relaxedFor: 169h}": "must be from",
		"{relaxedFor: -1h}": "must be from", "{nodesOutPercent: 101}": "limits.nodesOutPercent is 101: it must be from 1 to 100", "{nodesOutPercent: -1}": "must be from 1", "{nodesOut: 1}": "unknown field"} {
		require.NoError(t, os.WriteFile(path, []byte("advertise: {enrol: a:1, connect: a:2}\ntrustDomain: x\ntrustRoot: r\ngatewayKey: k\nlimits: "+limits+"\n"), 0o600))
		_, err := readConfig(path)
		require.ErrorContains(t, err, says, limits)
	}
}

func TestHalfOfAnAdmissionIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.yaml")
	require.NoError(t, os.WriteFile(path, []byte("trustDomain: x\nadvertise: {enrol: a:1, connect: a:2}\nlisten: {admission: \":7445\"}\ntrustRoot: r\ngatewayKey: k\n"), 0o600))
	_, err := readConfig(path)
	require.ErrorContains(t, err, "listen.admission and advertise.admission go together")
}
