package spoke_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"

	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// openingOf lets the pod of one probe out to one address, until it is spoiled.
func openingOf(name string, spoil func(*networkingv1.NetworkPolicySpec)) *networkingv1.NetworkPolicy {
	tcp, at := corev1.ProtocolTCP, intstr.FromInt32(80)
	p := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.NetworkPolicySpec{
		PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{tokenrequest.ProbeLabel: name}},
		PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress, networkingv1.PolicyTypeEgress},
		Egress: []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{IPBlock: &networkingv1.IPBlock{CIDR: "10.96.0.7/32"}}},
			Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &at}}}}}}
	if spoil != nil {
		spoil(&p.Spec)
	}
	return p
}

// The spoke may let the pods of probes out, each to what is named, and can open or close nothing else of the sandbox.
func TestTheFenceAroundTheSandbox(t *testing.T) {
	s := credentialstest.New(t, false)
	client, err := kubernetes.NewForConfig(s.Account(t, spoke.SystemNamespace, spoke.SpokeAccount))
	require.NoError(t, err)
	policies := client.NetworkingV1().NetworkPolicies(tokenrequest.Sandbox)
	const name = tokenrequest.ProbePrefix + "0123456789abcdef"
	create := func(p *networkingv1.NetworkPolicy) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := policies.Create(ctx, p, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			return err
		}
	}
	spoilt := func(spoil func(*networkingv1.NetworkPolicySpec)) func(context.Context) error {
		return create(openingOf(name, spoil))
	}
	to := func(peers ...networkingv1.NetworkPolicyPeer) func(context.Context) error {
		return spoilt(func(p *networkingv1.NetworkPolicySpec) { p.Egress[0].To = peers })
	}
	block := func(cidr string) networkingv1.NetworkPolicyPeer {
		return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr}}
	}
	named := &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: "shop"}}
	worldtest.Eventually(t, "the fence to be in force", func(ctx context.Context) error {
		if err := spoilt(nil)(ctx); err != nil {
			return err // its rights are not
		}
		if create(openingOf("some", nil))(ctx) == nil {
			return errors.New("it is not")
		}
		return nil
	})
	for _, allowed := range []func(context.Context) error{to(block("fd00::7/128"), block(tokenrequest.NodeDNS)),
		to(networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{}, NamespaceSelector: named}),
		spoilt(func(p *networkingv1.NetworkPolicySpec) { p.Egress = nil })} {
		require.NoError(t, allowed(t.Context()))
	}
	const own, in, out = "touches no other", "lets nothing in", "single addresses"
	for what, tc := range map[string]struct {
		try  func(context.Context) error
		says string
	}{
		"with some name": {create(openingOf("some", nil)), own},
		"of another name": {func(ctx context.Context) error {
			p := openingOf(tokenrequest.ProbePrefix+"fedcba9876543210", nil)
			p.Name = name
			return create(p)(ctx)
		}, in},
		"for all pods":            {spoilt(func(p *networkingv1.NetworkPolicySpec) { p.PodSelector = metav1.LabelSelector{} }), in},
		"for rehearsals":          {spoilt(func(p *networkingv1.NetworkPolicySpec) { p.PodSelector.MatchLabels["writ.dev/rehearsal"] = "a" }), in},
		"letting in":              {spoilt(func(p *networkingv1.NetworkPolicySpec) { p.Ingress = []networkingv1.NetworkPolicyIngressRule{{}} }), in},
		"for one way":             {spoilt(func(p *networkingv1.NetworkPolicySpec) { p.PolicyTypes = p.PolicyTypes[1:] }), in},
		"to everywhere":           {spoilt(func(p *networkingv1.NetworkPolicySpec) { p.Egress[0].To = nil }), out},
		"to every port":           {spoilt(func(p *networkingv1.NetworkPolicySpec) { p.Egress[0].Ports = nil }), out},
		"to many ports":           {spoilt(func(p *networkingv1.NetworkPolicySpec) { p.Egress[0].Ports[0].EndPort = new(int32(90)) }), out},
		"to any port":             {spoilt(func(p *networkingv1.NetworkPolicySpec) { p.Egress[0].Ports[0].Port = nil }), out},
		"to all":                  {to(block("0.0.0.0/0")), out},
		"to two":                  {to(block("10.96.0.7/32"), block("10.96.0.8/31")), out},
		"to all of v6":            {to(block("::/0")), out},
		"to the cloud's metadata": {to(block("169.254.169.254/32")), out},
		"to itself":               {to(block("127.0.0.1/32")), out},
		"to a v6 link":            {to(block("fe80::1/128")), out},
		"to a network":            {to(block("fd00::/12")), out},
		"to every pod":            {to(networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{}, NamespaceSelector: &metav1.LabelSelector{}}), out},
		"to a namespace":          {to(networkingv1.NetworkPolicyPeer{NamespaceSelector: named}), out},
		"to the sandbox":          {to(networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{}}), out},
		"the door's end":          {func(ctx context.Context) error { return policies.Delete(ctx, "writ-deny", metav1.DeleteOptions{}) }, own},
		"the rehearsals'":         {func(ctx context.Context) error { return policies.Delete(ctx, "writ-rehearsal", metav1.DeleteOptions{}) }, own},
		"all": {func(ctx context.Context) error {
			return policies.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		}, "cannot deletecollection"},
		"elsewhere": {func(ctx context.Context) error {
			_, err := client.NetworkingV1().NetworkPolicies(s.Allowed).Create(ctx, openingOf(name, nil), metav1.CreateOptions{})
			return err
		}, "cannot create"},
	} {
		t.Run(what, func(t *testing.T) {
			err := tc.try(t.Context())
			require.True(t, apierrors.IsForbidden(err), "%v", err)
			require.ErrorContains(t, err, tc.says)
		})
	}
	stand, err := s.Admin.NetworkingV1().NetworkPolicies(tokenrequest.Sandbox).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, stand.Items, 2, "nothing was written")
}
