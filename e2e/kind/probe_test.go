package kind

import (
	"context"
	"fmt"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/e2e/kind/stage"
)

const alsoProbes = "[{actions: [debug-probe], namespaces: [shop], maxTier: medium}]"

// listens is the port that the pods of these probes listen on; nothing listens on the next one.
const listens = 10053

// probes has pods of the sandbox find out that a port of a real Service answers, that another is closed, and that its name resolves.
// In one cluster Vault issues the credential, in the other its own API server.
func probes(s *scene) {
	var policy v1alpha1.ActionPolicy
	require.NoError(s, s.Clusters[stage.Hub].Client.Get(s.ctx, client.ObjectKey{Name: "shop"}, &policy))
	former := policy.Spec.MatchConstraints.Actions
	allow := func(actions []string) {
		before := policy.DeepCopy()
		policy.Spec.MatchConstraints.Actions = actions
		require.NoError(s, s.Clusters[stage.Hub].Client.Patch(s.ctx, &policy, client.MergeFrom(before)))
	}
	allow(append([]string{"debug-probe"}, former...))
	for _, cluster := range []string{stage.East, stage.West} {
		c := s.Clusters[cluster]
		require.NoError(s, s.Allow(s.ctx, cluster, alsoProbes, 100))
		pod, service := s.listening(cluster)
		of := func(kind string) v1alpha1.Target {
			return v1alpha1.Target{APIVersion: "v1", Kind: kind, Namespace: stage.Shop, Name: "names"}
		}
		for _, probe := range []struct {
			target v1alpha1.Target
			asked  map[string]any
			change string
			found  []string
		}{
			{of("Service"), map[string]any{"mode": "connect", "port": 80}, "connect to " + service.Spec.ClusterIP + ":80: connected", []string{`"result":"connected"`, `"port":80`}},
			{of("Service"), map[string]any{"mode": "connect", "port": 81, "timeoutSeconds": 3}, "connect to " + service.Spec.ClusterIP + ":81: refused", []string{`"result":"refused"`, `"port":81`}},
			{of("Service"), map[string]any{"mode": "resolve", "timeoutSeconds": 20}, "resolve names.shop.svc: resolved", []string{`"result":"resolved"`, service.Spec.ClusterIP}},
			{of("Pod"), map[string]any{"mode": "connect", "port": listens}, fmt.Sprintf("connect to %s:%d: connected", pod.Status.PodIP, listens), []string{`"result":"connected"`, pod.Status.PodIP}},
		} {
			r := s.untilAsked(cluster, probe.target, probe.asked)
			require.Equal(s, "medium", r.Status.Tier)
			require.Equal(s, "Sandbox", r.Status.Diff.Place)
			require.Empty(s, r.Status.Diff.Changes, "it changes nothing")
			sam, err := s.Person("sam", "sre")
			require.NoError(s, err)
			approved := time.Now()
			_, err = s.WritAs(s.ctx, sam, "approve", r.Namespace+"/"+r.Name, "--yes")
			require.NoError(s, err)
			require.NoError(s, s.Until(s.ctx, r, 2*time.Minute, v1alpha1.Phase.Final))
			require.Equal(s, v1alpha1.PhaseSucceeded, r.Status.Phase, r.Status.Message)
			require.Equal(s, probe.change, r.Status.Change)
			said, err := s.WritAs(s.ctx, s.Clusters[stage.Hub].Kubeconfig, "request", "diagnostics", r.Namespace+"/"+r.Name)
			require.NoError(s, err)
			require.NoError(s, contains(said, probe.found...))
			say(approved, "%s: approved, probed: %s", cluster, r.Status.Change)
		}
		r, err := s.Ask(s.ctx, cluster, "debug-probe", of("Service"), map[string]any{"mode": "connect", "port": 82})
		require.NoError(s, err)
		require.NoError(s, s.Until(s.ctx, r, time.Minute, v1alpha1.Phase.Final))
		require.Equal(s, v1alpha1.PhaseRefused, r.Status.Phase)
		require.Contains(s, r.Status.Message, "it has no TCP port 82; it has [80 81]")

		probes := []client.ListOption{client.InNamespace(tokenrequest.Sandbox), client.HasLabels{tokenrequest.ProbeLabel}}
		require.NoError(s, stage.Await(s.ctx, "nothing to be left in the sandbox", time.Minute, func(ctx context.Context) error {
			for _, left := range []client.ObjectList{&batchv1.JobList{}, &networkingv1.NetworkPolicyList{}, &corev1.PodList{}} {
				if err := c.Client.List(ctx, left, probes...); err != nil {
					return err
				}
				if n := lengthOf(left); n > 0 {
					return fmt.Errorf("%d of %T", n, left)
				}
			}
			return nil
		}))
		require.NoError(s, c.Client.Delete(s.ctx, service))
		require.NoError(s, c.Client.Delete(s.ctx, pod))
		require.NoError(s, s.Allow(s.ctx, cluster, usual, 100))
	}
	allow(former)
}

func lengthOf(list client.ObjectList) int {
	switch list := list.(type) {
	case *batchv1.JobList:
		return len(list.Items)
	case *networkingv1.NetworkPolicyList:
		return len(list.Items)
	case *corev1.PodList:
		return len(list.Items)
	}
	return -1
}

// listening makes a pod that listens on one port, of the image of the cluster's own DNS, and a Service that sends port 80 there, and
// port 81 to where nobody listens.
func (s *scene) listening(cluster string) (*corev1.Pod, *corev1.Service) {
	s.Helper()
	c := s.Clusters[cluster]
	image, err := c.Image(s.ctx, "/coredns:")
	require.NoError(s, err)
	labels := map[string]string{"app": "names"}
	meta := metav1.ObjectMeta{Namespace: stage.Shop, Name: "names", Labels: labels}
	pod := &corev1.Pod{ObjectMeta: meta, Spec: corev1.PodSpec{TerminationGracePeriodSeconds: new(int64), Containers: []corev1.Container{{Name: "main", Image: image,
		Args:  []string{"-dns.port", fmt.Sprint(listens)}, // without a configuration it answers who asks
		Ports: []corev1.ContainerPort{{ContainerPort: listens, Protocol: corev1.ProtocolTCP}}}}}}
	require.NoError(s, c.Client.Create(s.ctx, pod))
	service := &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{
		{Name: "open", Port: 80, TargetPort: intstr.FromInt32(listens)}, {Name: "closed", Port: 81, TargetPort: intstr.FromInt32(listens + 1)}}}}
	require.NoError(s, c.Client.Create(s.ctx, service))
	require.NoError(s, stage.Await(s.ctx, "pod names", time.Minute, func(ctx context.Context) error {
		if err := c.Client.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		return isReady(*pod)
	}))
	return pod, service
}

// untilAsked asks for a probe again until it waits for an approver: what was allowed a moment ago is in force a moment later.
func (s *scene) untilAsked(cluster string, target v1alpha1.Target, parameters map[string]any) (r *v1alpha1.ActionRequest) {
	s.Helper()
	require.NoError(s, stage.Await(s.ctx, "a probe to be let through", time.Minute, func(ctx context.Context) (err error) {
		if r, err = s.Ask(ctx, cluster, "debug-probe", target, parameters); err != nil {
			return err
		}
		err = s.Until(ctx, r, time.Minute, func(p v1alpha1.Phase) bool { return p == v1alpha1.PhaseAwaitingApproval || p.Final() })
		if err == nil && r.Status.Phase != v1alpha1.PhaseAwaitingApproval {
			err = fmt.Errorf("it is %s: %s", r.Status.Phase, r.Status.Message)
		}
		return err
	}))
	return r
}
