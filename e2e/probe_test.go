package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/world/worldtest"
	"github.com/writ-dev/writ/spoke/probe"
)

// prober asks for probes in a cluster that is an API server alone; the test plays whatever would run pods there.
type prober struct {
	*fleet.Fleet
	t      *testing.T
	ctx    context.Context
	admin  *kubernetes.Clientset
	sre    client.Client
	probed atomic.Int32 // pods that ran
	silent atomic.Bool  // they say nothing
}

// A probe's whole life: refused where no pod can run and where the target has no such port, before anybody is asked; approved, done by a
// pod, its result read; where the spoke is killed in between, told as interrupted, with nothing left; and not done under a freeze.
func TestAServiceIsProbed(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east"}, Bare: true, PerMinute: 10000})
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	p := newProber(ctx, t, f)
	const connect = `{"mode":"connect","port":80}`

	r := p.ask("checkout", connect)
	p.refused(r, refusal.TargetNotFound, "this spoke has no pods run, and a probe takes one: set rehearsalPod.image")
	p.givePods()

	for name, tc := range map[string]struct {
		target, parameters string
		reason             refusal.Reason
		says               string
	}{
		"out of range":    {"checkout", `{"mode":"connect","port":65536}`, refusal.ParametersInvalid, "65536"},
		"no mode":         {"checkout", `{"mode":"ping"}`, refusal.ParametersInvalid, "ping"},
		"a host":          {"checkout", `{"mode":"resolve","host":"example.org"}`, refusal.ParametersInvalid, "host"},
		"not its port":    {"checkout", `{"mode":"connect","port":81}`, refusal.TargetNotFound, "it has no TCP port 81; it has [80]"},
		"no such Service": {"nobody", connect, refusal.TargetNotFound, "the target does not exist"},
		"somewhere else":  {"elsewhere", `{"mode":"resolve"}`, refusal.TargetNotFound, "outside the cluster"},
	} {
		t.Run(name, func(t *testing.T) {
			p.refused(p.ask(tc.target, tc.parameters), tc.reason, tc.says)
		})
	}
	guarded, err := f.Until(ctx, client.ObjectKeyFromObject(p.ask("guarded", connect)), fleet.Phase(v1alpha1.PhaseAwaitingApproval))
	require.NoError(t, err)
	require.Equal(t, "high", guarded.Status.Tier, "it is protected")
	require.Zero(t, p.probed.Load(), "nothing was probed")

	r = p.approved(p.ask("checkout", connect))
	require.Equal(t, "medium", r.Status.Tier)
	require.NotNil(t, r.Status.Diff)
	require.Empty(t, r.Status.Diff.Changes, "it changes nothing")
	r, err = f.Until(ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool { return r.Status.Phase.Final() })
	require.NoError(t, err)
	require.Equal(t, v1alpha1.PhaseSucceeded, r.Status.Phase, r.Status.Message)
	require.Contains(t, r.Status.Change, ":80: refused")
	out, err := f.Writ(ctx, "request", "diagnostics", r.Namespace+"/"+r.Name)
	require.NoError(t, err, out)
	require.Contains(t, out, "== probe of service/shop/checkout\n")
	require.Contains(t, out, `"port":80,"result":"refused","tries":2,"milliseconds":7}`)
	require.EqualValues(t, 1, p.probed.Load())
	out, err = f.Writ(ctx, "request", "undo", r.Namespace+"/"+r.Name)
	require.Error(t, err, "there is nothing to undo: %s", out)

	p.silent.Store(true)
	before := p.probed.Load()
	r = p.approved(p.ask("checkout", connect))
	worldtest.Eventually(t, "the pod of a probe", func(context.Context) error {
		if p.probed.Load() == before {
			return errors.New("it is not there")
		}
		return nil
	})
	require.NotEmpty(t, p.left())
	f.KillSpoke("east")
	require.NotEmpty(t, p.left(), "who is killed removes nothing")
	require.NoError(t, f.StartSpoke(ctx, "east"))
	worldtest.Eventually(t, "what was left to be removed", func(context.Context) error {
		if left := p.left(); len(left) > 0 {
			return fmt.Errorf("there are %v", left)
		}
		return nil
	})
	p.refused(r, refusal.Interrupted, "ask again")
	require.EqualValues(t, before+1, p.probed.Load(), "it is not done again")

	out, err = f.Writ(ctx, "freeze", "--action", "debug-probe", "--reason", "the sale")
	require.NoError(t, err, out)
	p.refused(p.ask("checkout", connect), refusal.Frozen, "the sale")
	out, err = f.Writ(ctx, "audit", "verify")
	require.NoError(t, err, out)
}

func newProber(ctx context.Context, t *testing.T, f *fleet.Fleet) *prober {
	t.Helper()
	p := &prober{Fleet: f, t: t, ctx: ctx, admin: worldtest.Client(t, f.Clusters["east"])}
	var err error
	p.sre, err = f.As("sam", "sre")
	require.NoError(t, err)
	manifests, err := deployspoke.Manifests(deployspoke.Options{Namespaces: []string{fleet.Namespace}, Actions: append([]string{"debug-probe"}, fleet.Actions...)})
	require.NoError(t, err)
	require.NoError(t, apply.YAML(ctx, f.Clusters["east"].RESTConfig(), manifests))
	require.NoError(t, os.WriteFile(filepath.Join(f.Dir, "east.policy.yaml"),
		[]byte("rules:\n  - {actions: [debug-probe], namespaces: [shop], maxTier: high}\n"), 0o600))
	require.NoError(t, f.Client.Create(ctx, &v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "probes"}, Spec: v1alpha1.ActionPolicySpec{
		MatchConstraints: v1alpha1.MatchConstraints{Actions: []string{"debug-probe"}, Clusters: []string{"*"}, Namespaces: []string{fleet.Namespace}}}}))
	for name, spec := range map[string]corev1.ServiceSpec{
		"checkout":  {Selector: map[string]string{"app": "checkout"}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("web")}}},
		"guarded":   {Selector: map[string]string{"app": "checkout"}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromString("web")}}},
		"elsewhere": {Type: corev1.ServiceTypeExternalName, ExternalName: "example.org"},
	} {
		service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
		if name == "guarded" {
			service.Labels = map[string]string{"writ.dev/protected": "true"}
		}
		_, err := p.admin.CoreV1().Services(fleet.Namespace).Create(ctx, service, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	return p
}

// givePods tells the spoke of an image, and runs its pods: those of rehearsals fail, so that the spoke rehearses itself.
func (p *prober) givePods() {
	p.t.Helper()
	path := filepath.Join(p.Dir, "spoke-east.yaml")
	config, err := os.ReadFile(path)
	require.NoError(p.t, err)
	require.NoError(p.t, os.WriteFile(path, append(config, "rehearsalPod: {image: registry.test/writ-spoke:1}\n"...), 0o600))
	worldtest.Kubelet(p.ctx, p.t, p.admin, tokenrequest.Sandbox, func(pod *corev1.Pod) (string, int32) {
		if pod.Spec.Containers[0].Name != probe.Command {
			return "played", 1
		}
		p.probed.Add(1)
		if p.silent.Load() {
			<-p.ctx.Done()
			return "", 1
		}
		var of catalogue.Probe
		if err := json.Unmarshal([]byte(pod.Spec.Containers[0].Env[0].Value), &of); err != nil {
			return err.Error(), 1
		}
		said, _ := json.Marshal(catalogue.Probed{Mode: of.Mode, Host: of.Host, Port: of.Port, Result: catalogue.Refused, Tries: 2, Milliseconds: 7})
		return string(said), 0
	})
	p.KillSpoke("east")
	require.NoError(p.t, p.StartSpoke(p.ctx, "east"))
}

func (p *prober) ask(service, parameters string) *v1alpha1.ActionRequest {
	p.t.Helper()
	dana, err := p.As("dana", "developers")
	require.NoError(p.t, err)
	r := &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "default", GenerateName: "probe-"}, Spec: v1alpha1.ActionRequestSpec{
		Cluster: "east", Action: "debug-probe", Parameters: &apiextensionsv1.JSON{Raw: []byte(parameters)},
		Target: v1alpha1.Target{APIVersion: "v1", Kind: "Service", Namespace: fleet.Namespace, Name: service}}}
	require.NoError(p.t, dana.Create(p.ctx, r))
	return r
}

func (p *prober) approved(r *v1alpha1.ActionRequest) *v1alpha1.ActionRequest {
	p.t.Helper()
	waiting, err := p.Until(p.ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool {
		return r.Status.Phase == v1alpha1.PhaseAwaitingApproval || r.Status.Phase.Final()
	})
	require.NoError(p.t, err)
	require.Equal(p.t, v1alpha1.PhaseAwaitingApproval, waiting.Status.Phase, waiting.Status.Message)
	require.NoError(p.t, fleet.Approve(p.ctx, p.sre, waiting, v1alpha1.Approve))
	return waiting
}

func (p *prober) refused(r *v1alpha1.ActionRequest, reason refusal.Reason, says string) {
	p.t.Helper()
	r, err := p.Until(p.ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool { return r.Status.Phase.Final() })
	require.NoError(p.t, err)
	require.Equal(p.t, string(reason), r.Status.Reason, r.Status.Message)
	require.Contains(p.t, r.Status.Message, says)
	require.Empty(p.t, r.Status.Artefact)
}

// left are the NetworkPolicies and Jobs of probes in the sandbox.
func (p *prober) left() (names []string) {
	p.t.Helper()
	of := metav1.ListOptions{LabelSelector: tokenrequest.ProbeLabel}
	policies, err := p.admin.NetworkingV1().NetworkPolicies(tokenrequest.Sandbox).List(p.ctx, of)
	require.NoError(p.t, err)
	for _, one := range policies.Items {
		names = append(names, one.Name)
	}
	jobs, err := p.admin.BatchV1().Jobs(tokenrequest.Sandbox).List(p.ctx, of)
	require.NoError(p.t, err)
	for _, one := range jobs.Items {
		if one.DeletionTimestamp == nil {
			names = append(names, one.Name)
		}
	}
	return names
}
