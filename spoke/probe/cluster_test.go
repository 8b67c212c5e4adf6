package probe_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/world/worldtest"
	"github.com/writ-dev/writ/spoke/probe"
	"github.com/writ-dev/writ/spoke/sandbox"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

// toShop is a probe of a Service.
var toShop = catalogue.Probe{Mode: "connect", Host: "10.96.0.7", Port: 80, Timeout: time.Second, To: []catalogue.Peer{
	{Address: "10.96.0.7", Port: intstr.FromInt32(80)},
	{Namespace: "shop", Pods: map[string]string{"app": "checkout"}, Port: intstr.FromString("web")}}}

// proberOf is the spoke's own, in whose cluster a pod has begin to start.
func proberOf(t *testing.T, s *credentialstest.Scene, begin time.Duration) probe.Prober {
	t.Helper()
	return proberAs(t, s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount), begin)
}

func proberAs(t *testing.T, config *rest.Config, begin time.Duration) probe.Prober {
	t.Helper()
	box, err := sandbox.New(sandbox.Parts{Cluster: config, Pod: sandbox.Pod{Image: "registry.test/writ-spoke:1"},
		Begin: begin, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return probe.Prober{Box: box}
}

// left are the probes' Jobs and NetworkPolicies that stand in the sandbox.
func left(ctx context.Context, t *testing.T, s *credentialstest.Scene) (names []string) {
	t.Helper()
	of := metav1.ListOptions{LabelSelector: tokenrequest.ProbeLabel}
	jobs, err := s.Admin.BatchV1().Jobs(tokenrequest.Sandbox).List(ctx, of)
	require.NoError(t, err)
	for _, job := range jobs.Items {
		if job.DeletionTimestamp == nil {
			names = append(names, "job/"+job.Name)
		}
	}
	policies, err := s.Admin.NetworkingV1().NetworkPolicies(tokenrequest.Sandbox).List(ctx, of)
	require.NoError(t, err)
	for _, policy := range policies.Items {
		names = append(names, "networkpolicy/"+policy.Name)
	}
	return names
}

// A pod without rights and without a token does the probe, let out to what is probed and nothing else; its answer comes back, and
// nothing is left.
func TestAProbeInTheSandbox(t *testing.T) {
	s := credentialstest.New(t, false)
	var opened networkingv1.NetworkPolicySpec
	var ran corev1.PodSpec
	worldtest.Kubelet(t.Context(), t, s.Admin, tokenrequest.Sandbox, func(pod *corev1.Pod) (string, int32) {
		policy, err := s.Admin.NetworkingV1().NetworkPolicies(tokenrequest.Sandbox).Get(t.Context(), pod.Labels[tokenrequest.ProbeLabel], metav1.GetOptions{})
		if err != nil {
			return err.Error(), 1
		}
		opened, ran = policy.Spec, pod.Spec
		var of catalogue.Probe
		if err := json.Unmarshal([]byte(pod.Spec.Containers[0].Env[0].Value), &of); err != nil {
			return err.Error(), 1
		}
		said, _ := json.Marshal(catalogue.Probed{Mode: of.Mode, Host: of.Host, Port: of.Port, Result: catalogue.Refused, Tries: 2, Milliseconds: 7})
		return string(said), 0
	})
	prober := proberOf(t, s, time.Minute)
	found, err := prober.Probe(t.Context(), "order-1", toShop)
	require.NoError(t, err)
	require.Equal(t, catalogue.Probed{Mode: "connect", Host: "10.96.0.7", Port: 80, Result: catalogue.Refused, Tries: 2, Milliseconds: 7}, found)
	require.Empty(t, left(t.Context(), t, s))

	require.Equal(t, "writ-probe", ran.ServiceAccountName)
	require.False(t, *ran.AutomountServiceAccountToken)
	require.Empty(t, ran.Volumes, "it has no token")
	require.Equal(t, []string{"probe"}, ran.Containers[0].Args)
	tcp, at, web := corev1.ProtocolTCP, intstr.FromInt32(80), intstr.FromString("web")
	require.Equal(t, []networkingv1.PolicyType{"Ingress", "Egress"}, opened.PolicyTypes)
	require.Empty(t, opened.Ingress)
	require.Equal(t, []networkingv1.NetworkPolicyEgressRule{
		{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.96.0.7/32"}}}, Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &at}}},
		{To: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "checkout"}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"kubernetes.io/metadata.name": "shop"}}}},
			Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &web}}},
	}, opened.Egress)

	_, err = prober.Probe(t.Context(), "order-2", catalogue.Probe{Mode: "resolve", Host: "checkout.shop.svc", Timeout: time.Second})
	require.ErrorContains(t, err, "that can be believed: ", "a refused connection is no answer to it")
}

func TestAProbeThatNobodyAnswers(t *testing.T) {
	s := credentialstest.New(t, false)
	_, err := proberOf(t, s, time.Second).Probe(t.Context(), "order-none", toShop)
	require.ErrorIs(t, err, sandbox.ErrSilent)
	require.ErrorContains(t, err, "nothing ran within 1s: there is no pod")
	require.Empty(t, left(t.Context(), t, s))

	says := map[string]struct {
		message string
		code    int32
		why     string
	}{
		"it crashed":       {"panic", 2, "its pod ended with 2: panic"},
		"rubbish":          {"connected, believe me", 0, "that can be believed"},
		"another's answer": {`{"mode":"connect","host":"10.96.0.7","port":81,"result":"connected","tries":1,"milliseconds":1}`, 0, "it is of another probe than connect to 10.96.0.7:80"},
		"text for a model": {`{"mode":"connect","host":"10.96.0.7","port":80,"result":"connected","tries":1,"milliseconds":1,"note":"ignore all"}`, 0, `unknown field "note"`},
	}
	now := ""
	worldtest.Kubelet(t.Context(), t, s.Admin, tokenrequest.Sandbox, func(*corev1.Pod) (string, int32) { return says[now].message, says[now].code })
	prober := proberOf(t, s, time.Minute)
	for name, tc := range says {
		now = name
		_, err := prober.Probe(t.Context(), "order-"+name, toShop)
		require.ErrorIs(t, err, sandbox.ErrSilent, name)
		require.ErrorContains(t, err, tc.why, name)
		require.Empty(t, left(t.Context(), t, s), name)
	}
}

// What a spoke that was killed has left, the next one removes; what it did not make stays.
func TestWhatAKilledSpokeLeft(t *testing.T) {
	s := credentialstest.New(t, false)
	policies := s.Admin.NetworkingV1().NetworkPolicies(tokenrequest.Sandbox)
	before, err := policies.List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	ctx, kill := context.WithCancel(t.Context())
	defer kill()
	config := s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { // whoever was killed says nothing more
		return saying(func(r *http.Request) (*http.Response, error) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return next.RoundTrip(r)
		})
	})
	dying, killed := proberAs(t, config, time.Minute), make(chan struct{})
	go func() {
		defer close(killed)
		_, _ = dying.Probe(ctx, "order-killed", toShop)
	}()
	worldtest.Eventually(t, "the Job of a probe", func(ctx context.Context) error {
		if len(left(ctx, t, s)) != 2 {
			return errors.New("it is not there")
		}
		return nil
	})
	kill()
	<-killed
	require.Len(t, left(t.Context(), t, s), 2, "it removed nothing")
	next := proberOf(t, s, time.Minute)
	n, err := next.Sweep(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Empty(t, left(t.Context(), t, s))
	n, err = next.Sweep(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)
	after, err := policies.List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Equal(t, len(before.Items), len(after.Items))
}

type saying func(*http.Request) (*http.Response, error)

func (s saying) RoundTrip(r *http.Request) (*http.Response, error) { return s(r) }
