package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/writ-dev/writ/deploy/charts"
	"github.com/writ-dev/writ/deploy/charts/render"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/spoke/localpolicy"
	"github.com/writ-dev/writ/spoke/sandbox"
)

// What the chart writes, the spoke reads: strictly, so that neither can change alone.
func TestTheSpokeReadsWhatItsChartWrites(t *testing.T) {
	least := []string{"join.secretName=writ-join", "localPolicy.rules[0].actions={scale}", "localPolicy.rules[0].namespaces={shop,team-*}",
		"localPolicy.rules[0].kinds={Deployment}", "localPolicy.rules[0].maxTier=medium", "localPolicy.rules[0].maxReplicas=50", "image.tag=v1"}
	want := config{StateDir: "/var/lib/writ-spoke", Join: "/etc/writ/join/join.yaml", AccountToken: "/var/run/secrets/writ.dev/enrol/token", LocalPolicy: "/etc/writ/policy/policy.yaml",
		Health: ":8080", Credentials: "tokenrequest", Rehearsal: "auto", RehearsalPod: sandbox.Pod{Image: "writ-dev/writ-spoke:v1", PullPolicy: "IfNotPresent"}}
	maps := written(t, least...)
	require.Equal(t, want, read(t, maps["writ-spoke-config"]["spoke.yaml"]))
	rules, err := localpolicy.Parse([]byte(maps["writ-spoke-policy"]["policy.yaml"]))
	require.NoError(t, err)
	replicas := int32(50)
	require.Equal(t, []localpolicy.Rule{{Actions: []string{"scale"}, Namespaces: []string{"shop", "team-*"}, Kinds: []string{"Deployment"},
		MaxTier: "medium", MaxReplicas: &replicas}}, rules.Rules)

	ca := "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	maps = written(t, append(least, "credentials=vault", "vault.address=https://vault.example.org:8200", "vault.ca="+ca)...)
	want.Credentials, want.Vault = "vault", vaultConfig{Address: "https://vault.example.org:8200", CAFile: "/etc/writ/config/vault-ca.pem"}
	require.Equal(t, want, read(t, maps["writ-spoke-config"]["spoke.yaml"]))
	require.Equal(t, ca, maps["writ-spoke-config"]["vault-ca.pem"])
	maps = written(t, append(least, "credentials=oidc", "vault.address=https://vault.example.org:8200", "vault.ca="+ca)...)
	want.Credentials = "oidc"
	require.Equal(t, want, read(t, maps["writ-spoke-config"]["spoke.yaml"]))
}

func TestIssuersThatCannotBeAreRefused(t *testing.T) {
	for content, says := range map[string]string{
		"credentials: static": `credentials "static" is none of tokenrequest, vault, oidc`,
		"credentials: oidc":   "vault.address is not set",
		"credentials: oidc\nvault: {address: \"https://vault:8200\", login: certificate}": "Vault vouches (credentials: oidc) for what it has judged alone",
	} {
		path := filepath.Join(t.TempDir(), "spoke.yaml")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		_, err := readConfig(path)
		require.ErrorContains(t, err, says)
	}
}

// written are the ConfigMaps that the chart renders, by name.
func written(t *testing.T, set ...string) map[string]map[string]string {
	t.Helper()
	raw, err := render.Render(t.Context(), render.Options{Chart: charts.Spoke, Set: set})
	require.NoError(t, err)
	objects, err := apply.Parse(raw)
	require.NoError(t, err)
	maps := map[string]map[string]string{}
	for _, o := range objects {
		if o.GetKind() == "ConfigMap" {
			var one corev1.ConfigMap
			raw, err := yaml.Marshal(o)
			require.NoError(t, err)
			require.NoError(t, yaml.Unmarshal(raw, &one))
			maps[one.Name] = one.Data
		}
	}
	return maps
}

func read(t *testing.T, content string) config {
	t.Helper()
	path := filepath.Join(t.TempDir(), "spoke.yaml")
	require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	c, err := readConfig(path)
	require.NoError(t, err)
	return c
}
