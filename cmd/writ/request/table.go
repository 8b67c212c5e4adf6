package request

import (
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/show"
)

// table shows requests, with the namespace where they are of several.
func table(namespaced bool, requests ...v1alpha1.ActionRequest) *metav1.Table {
	names := []string{"Name", "Cluster", "Action", "Target", "Tier", "Phase", "Age", "+Requester", "+Order", "Message"}
	if namespaced {
		names = append([]string{"Namespace"}, names...)
	}
	rows, now := show.Columns(names...), time.Now()
	for _, r := range requests {
		cells := []any{r.Name, r.Spec.Cluster, r.Spec.Action, targetOf(&r), show.OrDash(r.Status.Tier), PhaseOf(&r),
			show.Age(r.CreationTimestamp, now), show.OrDash(requesterOf(&r)), show.OrDash(r.Status.OrderDigest), show.OrDash(r.Status.Message)}
		if namespaced {
			cells = append([]any{r.Namespace}, cells...)
		}
		show.Row(rows, cells...)
	}
	return rows
}

// PhaseOf is the phase; a request that the hub has not seen yet is pending.
func PhaseOf(r *v1alpha1.ActionRequest) v1alpha1.Phase {
	if r.Status.Phase == "" {
		return v1alpha1.PhasePending
	}
	return r.Status.Phase
}

// requesterOf is who asked: the person or agent in whose stead the hub made the request, if it did.
func requesterOf(r *v1alpha1.ActionRequest) string {
	if r.Status.Requester != "" {
		return r.Status.Requester
	}
	return r.Spec.Requester
}

// Asks is what a request asks for, in one line.
func Asks(r *v1alpha1.ActionRequest) string {
	line := r.Spec.Action + " " + targetOf(r) + " in cluster " + r.Spec.Cluster
	if p := parametersOf(r); p != "" {
		line += " with " + p
	}
	return line
}

func targetOf(r *v1alpha1.ActionRequest) string {
	t := r.Spec.Target
	return catalogue.Target{APIVersion: t.APIVersion, Kind: t.Kind, Namespace: t.Namespace, Name: t.Name}.String()
}

// parametersOf is empty where there are none.
func parametersOf(r *v1alpha1.ActionRequest) string {
	if r.Spec.Parameters == nil {
		return ""
	}
	text := strings.TrimSpace(string(r.Spec.Parameters.Raw))
	if text == "{}" {
		return ""
	}
	return text
}
