package e2e

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/world/process"
)

// Other people's tools check what Writ wrote: openssl the bundle's signature, Tessera's fsck the audit log, the OpenTelemetry
// Collector the trace.
func TestOtherPeoplesTools(t *testing.T) {
	t.Parallel()
	collector := startCollector(t)
	export := []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + collector.address, "OTEL_EXPORTER_OTLP_INSECURE=true"}
	f := start(t, fleet.Options{Clusters: []string{"east"}, Hub: export, Spoke: export})
	r := scale(t, f, "checkout", 4)

	t.Run("openssl verifies the bundle", func(t *testing.T) {
		if _, err := exec.LookPath("openssl"); err != nil {
			t.Skip("SKIPPED: openssl is not installed")
		}
		opensslVerifies(t, f, r)
	})
	t.Run("fsck accepts the audit log", func(t *testing.T) {
		key, err := f.Writ(t.Context(), "audit", "key")
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "vkey")
		require.NoError(t, os.WriteFile(file, []byte(key), 0o600))
		out, err := exec.CommandContext(t.Context(), tool(t, "github.com/transparency-dev/tessera/cmd/fsck"), "--ui=false",
			"--storage_url=file://"+f.AuditLog()+"/", "--public_key="+file).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "Successfully fsck'd log")
	})
	t.Run("the collector has the whole trace", func(t *testing.T) {
		require.Eventually(t, func() bool {
			return collector.has(r.Status.TraceID, "writ.action.request", "writ.action.sign", "writ.action.apply", "writ.action.observe")
		}, 15*time.Second, 100*time.Millisecond)
	})
}

// scale asks for a scale of a new Deployment of three, and waits for its success.
func scale(t *testing.T, f *fleet.Fleet, name string, replicas int) *v1alpha1.ActionRequest {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	east, err := f.Workloads("east")
	require.NoError(t, err)
	require.NoError(t, east.Create(ctx, fleet.Deployment(name, 3)))
	require.NoError(t, fleet.Ready(ctx, east, name, fleet.GoodImage))
	r := &v1alpha1.ActionRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "scale-"},
		Spec: v1alpha1.ActionRequestSpec{Cluster: "east", Action: "scale",
			Parameters: &apiextensionsv1.JSON{Raw: fmt.Appendf(nil, `{"replicas":%d}`, replicas)},
			Target:     v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: fleet.Namespace, Name: name}},
	}
	require.NoError(t, f.Client.Create(ctx, r))
	done, err := f.Until(ctx, client.ObjectKeyFromObject(r), fleet.Phase(v1alpha1.PhaseSucceeded))
	require.NoError(t, err)
	return done
}

// opensslVerifies checks the gateway's signature with openssl alone, over the bytes that DSSE defines; and not over others.
func opensslVerifies(t *testing.T, f *fleet.Fleet, r *v1alpha1.ActionRequest) {
	dir := t.TempDir()
	raw, err := f.Writ(t.Context(), "bundle", "show", r.Name, "-o", "dsse")
	require.NoError(t, err)
	var envelope dsse.Envelope
	require.NoError(t, json.Unmarshal([]byte(raw), &envelope))
	payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
	require.NoError(t, err)
	signature, err := base64.StdEncoding.DecodeString(envelope.Signatures[0].Sig)
	require.NoError(t, err)
	key, err := f.Writ(t.Context(), "trust", "show", "--role", "gateway", "-o", "pem")
	require.NoError(t, err)
	// DSSE v1.0.2: PAE(type, body) = "DSSEv1" SP LEN(type) SP type SP LEN(body) SP body
	signed := fmt.Sprintf("DSSEv1 %d %s %d %s", len(envelope.PayloadType), envelope.PayloadType, len(payload), payload)
	write := func(name string, content []byte) string {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, content, 0o600))
		return file
	}
	keyFile, signatureFile := write("key.pem", []byte(key)), write("sig", signature)
	verify := func(content string) (string, error) {
		out, err := exec.CommandContext(t.Context(), "openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keyFile, "-rawin",
			"-in", write("signed", []byte(content)), "-sigfile", signatureFile).CombinedOutput()
		return string(out), err
	}
	out, err := verify(signed)
	require.NoError(t, err, out)
	require.Contains(t, out, "Signature Verified Successfully")
	_, err = verify(strings.Replace(signed, "DSSEv1", "DSSEv2", 1))
	require.Error(t, err)
}

// tool compiles one of the pinned third-party tools, once.
func tool(t *testing.T, pkg string) string {
	t.Helper()
	out, err := exec.Command("../tools/tool", "thirdparty", pkg).Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// collector is an OpenTelemetry Collector that prints what it receives.
type collector struct{ address, log string }

func startCollector(t *testing.T) *collector {
	t.Helper()
	program, dir := tool(t, "./otelcol"), t.TempDir()
	port, err := process.FreePort()
	require.NoError(t, err)
	c := &collector{address: process.Loopback(port), log: process.LogFile(dir, "otelcol")}
	config := filepath.Join(dir, "otelcol.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `receivers:
  otlp: {protocols: {grpc: {endpoint: %q}}}
exporters:
  debug: {verbosity: detailed}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [debug]}
`, c.address), 0o600))
	p, err := process.Start(process.Spec{Name: "otelcol", Path: program, Args: []string{"--config", config}, Log: c.log})
	require.NoError(t, err)
	t.Cleanup(func() { p.Stop(5 * time.Second) })
	require.NoError(t, p.AwaitPort(t.Context(), 20*time.Second, port))
	return c
}

// has reports whether spans of these names, from hub and spoke, have come under a trace ID.
func (c *collector) has(traceID string, names ...string) bool {
	raw, err := os.ReadFile(c.log)
	if err != nil {
		return false
	}
	seen := map[string]bool{}
	for _, block := range strings.Split(string(raw), "Span #") {
		if !strings.Contains(block, traceID) {
			continue
		}
		for _, name := range names {
			seen[name] = seen[name] || strings.Contains(block, ": "+name+"\n")
		}
	}
	for _, name := range names {
		if !seen[name] {
			return false
		}
	}
	return true
}
