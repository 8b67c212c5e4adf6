package main

import (
	"context"
	"encoding/json"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/signal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
	"github.com/writ-dev/writ/hub/reasoning"
	"github.com/writ-dev/writ/hub/store"
)

// mostEvidence bounds how much of a decision's evidence is shown.
const mostEvidence = 8

// decisions joins the gateway's records to the decisions that their requests name.
type decisions struct{ records store.Store }

// Learn implements intake.Decisions.
func (d decisions) Learn(ctx context.Context, r *gateway.Record) (*v1alpha1.DecisionStatus, error) {
	request := r.Request
	asked := reasoning.Asked{DecisionID: request.DecisionID, AgentClass: request.AgentClass, Cluster: request.Cluster, Action: request.Action,
		Target: request.Target}
	if phase, says := r.Phase(); phase.Final() {
		asked.Outcome = &reasoning.Outcome{Phase: string(phase), Says: says}
		if r.Refusal != nil {
			asked.Outcome.Reason = string(r.Refusal.Reason)
		}
		if r.Outcome != nil {
			asked.Outcome.Drift = append([]catalogue.Drift(nil), r.Outcome.Drift...)
		}
	}
	decision, ok, err := reasoning.Learn(ctx, d.records, asked)
	if err != nil || !ok {
		return nil, err
	}
	return shown(decision)
}

// shown is what people see of a decision.
func shown(d reasoning.Decision) (*v1alpha1.DecisionStatus, error) {
	status := &v1alpha1.DecisionStatus{Reasoning: d.Reasoning.Kind + " " + d.Reasoning.Name, Digest: d.Reasoning.Digest, Summary: d.Summary,
		At: metav1.NewTime(d.At)}
	for _, e := range d.Evidence[:min(len(d.Evidence), mostEvidence)] {
		var s signal.Signal
		if err := json.Unmarshal(e.Signal, &s); err != nil {
			return nil, fmt.Errorf("evidence of decision %s: %w", d.ID, err)
		}
		status.Evidence = append(status.Evidence, v1alpha1.EvidenceStatus{Digest: e.Digest, Reason: string(s.Reason), Severity: string(s.Severity),
			Object: catalogue.Target{Kind: s.Object.Kind, Namespace: s.Object.Namespace, Name: s.Object.Name}.String(),
			Count:  int64(s.Count), LastSeen: metav1.NewTime(s.LastSeen), Values: s.Values})
	}
	return status, nil
}
