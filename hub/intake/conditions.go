package intake

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// conditionsOf says how a cluster stands. It is pure. What is not known any more, after a restart of the hub, stays as it was.
func conditionsOf(name string, s sighting, standing Standing) []metav1.Condition {
	conditions := []metav1.Condition{accepted(name, standing), joined(name, standing), ready(s, standing)}
	if standing.Revoked != "" {
		return append(conditions, condition(v1alpha1.ClusterCredentialsIssuing, false, "Revoked", "nothing is signed for it any more"))
	}
	switch {
	case s.issued == nil:
		return conditions
	case s.issued.refused != "":
		return append(conditions, condition(v1alpha1.ClusterCredentialsIssuing, false, "CredentialRefused", "the last one was refused: "+s.issued.refused))
	}
	issuer, _, _ := strings.Cut(s.issued.credential, ":")
	return append(conditions, condition(v1alpha1.ClusterCredentialsIssuing, true, "Issued", "the last action had a credential of its own, by "+issuer))
}

func accepted(name string, standing Standing) metav1.Condition {
	switch {
	case standing.Revoked != "":
		return condition(v1alpha1.ClusterAccepted, false, "Revoked", standing.Revoked)
	case standing.Waits:
		return condition(v1alpha1.ClusterAccepted, false, "AwaitingAcceptance",
			fmt.Sprintf("its spoke has proved itself, with the receipt key %s: writ cluster accept %s", standing.Key, name))
	case standing.Manual && standing.Key == "":
		return condition(v1alpha1.ClusterAccepted, false, "NobodyYet", "no spoke has proved itself yet; then it waits to be accepted")
	case standing.Manual:
		return condition(v1alpha1.ClusterAccepted, true, "ByOperator", "the spoke with the receipt key "+standing.Key+" was accepted")
	}
	return condition(v1alpha1.ClusterAccepted, true, "Automatic", "a spoke that proves both factors is let in")
}

func joined(name string, standing Standing) metav1.Condition {
	switch {
	case standing.Revoked != "":
		return condition(v1alpha1.ClusterEnrolled, false, "Revoked", standing.Revoked)
	case standing.Live && standing.TokenUntil.After(standing.At):
		return condition(v1alpha1.ClusterEnrolled, true, "MayRejoin", "another spoke of this cluster may take its place until "+stamp(standing.TokenUntil))
	case standing.Live:
		return condition(v1alpha1.ClusterEnrolled, true, "Enrolled", "its spoke has an identity")
	case standing.Waits:
		return condition(v1alpha1.ClusterEnrolled, false, "AwaitingAcceptance", "its spoke waits to be accepted")
	case !standing.Pinned:
		return condition(v1alpha1.ClusterEnrolled, false, "NotPinned", "nobody is let in: register it again, with --workload or --jwks")
	case standing.TokenUntil.After(standing.At):
		return condition(v1alpha1.ClusterEnrolled, false, "AwaitingSpoke", "its spoke may join until "+stamp(standing.TokenUntil))
	}
	return condition(v1alpha1.ClusterEnrolled, false, "TokenExpired", "no spoke has joined in time: writ cluster register "+name)
}

func ready(s sighting, standing Standing) metav1.Condition {
	switch {
	case standing.Revoked != "":
		return condition(v1alpha1.ClusterReady, false, "Revoked", standing.Revoked)
	case !standing.Live:
		return condition(v1alpha1.ClusterReady, false, "NotJoined", "its spoke has not joined")
	case s.connected:
		return condition(v1alpha1.ClusterReady, true, "Connected", "its spoke is connected, and its history is the hub's")
	case s.message != "":
		return condition(v1alpha1.ClusterReady, false, "Refused", s.message)
	}
	return condition(v1alpha1.ClusterReady, false, "NotConnected", "its spoke is not connected: nobody dials in from here")
}

func condition(kind string, is bool, reason, message string) metav1.Condition {
	status := metav1.ConditionFalse
	if is {
		status = metav1.ConditionTrue
	}
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: refusal.OneLine(message)}
}

func stamp(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// merge puts conditions over those that there are, and keeps since when each holds.
func merge(before, now []metav1.Condition, generation int64) (merged []metav1.Condition, changed bool) {
	merged = append(merged, before...)
	for _, c := range now {
		c.ObservedGeneration = generation
		if meta.SetStatusCondition(&merged, c) {
			changed = true
		}
	}
	return merged, changed
}
