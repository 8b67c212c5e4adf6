// Package probe has a pod of the sandbox find out whether something in the cluster resolves or answers.
//
// It promises that the pod reaches nothing but what the order names: its network lets it to the cluster's DNS, or to that one address
// and port, and nothing else. Nothing is sent over a connection, nothing read. What the pod says is believed only where it can be an
// answer to that very probe.
package probe

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	kjson "sigs.k8s.io/json"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/spoke/sandbox"
)

// The environment variable in which a pod finds what it is to do, and what it runs.
const (
	Variable = "WRIT_PROBE"
	Command  = "probe"
)

// Prober probes in a Job of its own for each order.
type Prober struct{ Box *sandbox.Sandbox }

// Probe has a pod do the probe of an order. sandbox.ErrSilent where no pod said anything that can be believed.
func (p Prober) Probe(ctx context.Context, orderID string, of catalogue.Probe) (catalogue.Probed, error) {
	task, err := json.Marshal(of)
	if err != nil {
		return catalogue.Probed{}, err
	}
	message, err := p.Box.Run(ctx, sandbox.Work{Name: nameOf(orderID), Label: tokenrequest.ProbeLabel, Account: tokenrequest.ProbeAccount,
		Command: Command, Variable: Variable, Told: task, Deadline: of.Timeout, Egress: egress(of)})
	if err != nil {
		return catalogue.Probed{}, err
	}
	said, err := read(message, of)
	if err != nil {
		return catalogue.Probed{}, fmt.Errorf("%w that can be believed: %w", sandbox.ErrSilent, err)
	}
	return said, nil
}

// Sweep removes what a spoke that died has left of its probes. None may be under way. It returns how many there were.
func (p Prober) Sweep(ctx context.Context) (int, error) {
	return p.Box.Sweep(ctx, tokenrequest.ProbeLabel)
}

// nameOf is the name of an order's Job: of the same one, the same.
func nameOf(orderID string) string {
	sum := sha256.Sum256([]byte(orderID))
	return tokenrequest.ProbePrefix + hex.EncodeToString(sum[:8])
}

func read(message string, of catalogue.Probe) (said catalogue.Probed, err error) {
	if len(message) > sandbox.MaxMessage {
		return said, fmt.Errorf("%d bytes are more than the %d that a pod can say", len(message), sandbox.MaxMessage)
	}
	if strict, err := kjson.UnmarshalStrict([]byte(message), &said); err != nil || len(strict) > 0 {
		return said, errors.Join(append(strict, err)...)
	}
	return said, said.Check(of)
}

// egress is where a probe's packets may go.
func egress(of catalogue.Probe) []networkingv1.NetworkPolicyEgressRule {
	tcp, udp := corev1.ProtocolTCP, corev1.ProtocolUDP
	if of.Mode == catalogue.ProbeResolve {
		dns := intstr.FromInt32(53)
		return []networkingv1.NetworkPolicyEgressRule{{
			To:    []networkingv1.NetworkPolicyPeer{pods(metav1.NamespaceSystem, nil), {IPBlock: &networkingv1.IPBlock{CIDR: tokenrequest.NodeDNS}}},
			Ports: []networkingv1.NetworkPolicyPort{{Protocol: &udp, Port: &dns}, {Protocol: &tcp, Port: &dns}},
		}}
	}
	var rules []networkingv1.NetworkPolicyEgressRule
	for _, to := range of.To {
		peer := pods(to.Namespace, to.Pods)
		if to.Address != "" {
			peer = networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: alone(to.Address)}}
		}
		rules = append(rules, networkingv1.NetworkPolicyEgressRule{To: []networkingv1.NetworkPolicyPeer{peer},
			Ports: []networkingv1.NetworkPolicyPort{{Protocol: &tcp, Port: &to.Port}}})
	}
	return rules
}

func pods(namespace string, labels map[string]string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: labels},
		NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: namespace}}}
}

// alone is the block of one address.
func alone(address string) string {
	if strings.Contains(address, ":") {
		return address + "/128"
	}
	return address + "/32"
}
