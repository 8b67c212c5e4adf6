package intake

import (
	"encoding/json"
	"math"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/policy"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

func requestOf(object *v1alpha1.ActionRequest) gateway.Request {
	spec := object.Spec
	request := gateway.Request{
		ID: string(object.UID), Namespace: object.Namespace, Name: object.Name,
		Cluster: spec.Cluster, Action: spec.Action,
		Target: catalogue.Target{APIVersion: spec.Target.APIVersion, Kind: spec.Target.Kind,
			Namespace: spec.Target.Namespace, Name: spec.Target.Name},
		Reason: spec.Reason, AgentClass: spec.AgentClass, Requester: spec.Requester,
		DecisionID: spec.DecisionID, Traceparent: spec.Traceparent,
		CreatedAt: object.CreationTimestamp.UTC(),
	}
	if spec.Parameters != nil {
		request.Parameters = json.RawMessage(spec.Parameters.Raw)
	}
	return request
}

func wordOf(object *v1alpha1.Approval) gateway.Word {
	word := gateway.Word{
		ID: string(object.UID), Approver: object.Spec.Approver, Approve: object.Spec.Verdict == v1alpha1.Approve,
		OrderDigest: object.Spec.OrderDigest, Reason: object.Spec.Reason, At: object.CreationTimestamp.UTC(),
	}
	if s := object.Spec.Signature; s != nil {
		word.Signature = &dsse.Signature{KeyID: s.KeyID, Sig: s.Sig}
	}
	return word
}

// statusOf is what people see of a record.
func statusOf(r *gateway.Record) v1alpha1.ActionRequestStatus {
	phase, message := r.Phase()
	status := v1alpha1.ActionRequestStatus{Phase: phase, Message: message, OrderDigest: r.OrderDigest, TraceID: r.TraceID(),
		Receipt: string(r.ReceiptRaw), Outcome: string(r.OutcomeRaw)}
	for _, taken := range r.Steps {
		status.Steps = append(status.Steps, stepStatus(taken.Step, string(taken.Result), taken.Detail, taken.Left))
	}
	if r.Waiting != "" {
		status.Steps = append(status.Steps, stepStatus(r.Next, string(gateway.Waiting), r.Waiting, r.Entered))
	}
	switch {
	case r.Refusal != nil:
		status.Reason = string(r.Refusal.Reason)
	case r.Receipt != nil && r.Receipt.Refusal != nil:
		status.Reason = string(r.Receipt.Refusal.Reason)
	}
	status.Verdict = verdictOf(r.Verdict)
	if r.Order != nil {
		status.Tier, status.Prediction = string(r.Order.Tier), r.Order.Prediction.String()
		if phase == v1alpha1.PhaseAwaitingApproval {
			status.Order = string(r.OrderEnvelope)
		}
	}
	status.UndoneBy = r.UndoneBy
	if r.Outcome != nil {
		for _, d := range r.Outcome.Drift {
			status.Drift = append(status.Drift, v1alpha1.Drift{Field: d.Field, Predicted: d.Predicted, Actual: d.Actual})
		}
	}
	if r.Request.Rollout != "" || r.Request.Undoes != "" {
		status.Requester = r.Request.Requester
	}
	status.Diff = diffOf(r)
	if r.Bundle != nil {
		status.Bundle = &v1alpha1.BundleStatus{ID: r.Bundle.ID, Epoch: int64(r.Bundle.Epoch), Sequence: int64(r.Bundle.Sequence),
			Digest: r.Bundle.Digest, Expires: metav1.NewTime(r.Bundle.Expires), Envelope: string(r.Bundle.Envelope)}
	}
	if r.Receipt != nil {
		status.Change, status.Artefact = r.Receipt.Change, string(r.Artefact)
	}
	if undo := r.Inverse(); undo != nil {
		raw, _ := json.Marshal(undo)
		status.Inverse = string(raw)
	}
	return status
}

// diffOf is what the rehearsal showed; nil where there was none, or it met a refusal.
func diffOf(r *gateway.Record) *v1alpha1.DiffStatus {
	if r.Rehearsed == nil || r.Rehearsed.Diff == nil {
		return nil
	}
	shown := &v1alpha1.DiffStatus{Object: r.Rehearsed.Diff.Object, Place: string(r.Rehearsed.Place), Digest: r.Rehearsed.Digest,
		Omitted: int32(min(r.Rehearsed.Diff.Omitted, math.MaxInt32))}
	for _, f := range r.Rehearsed.Diff.Changes {
		shown.Changes = append(shown.Changes, v1alpha1.FieldChange{Path: f.Path, Before: f.Before, After: f.After})
	}
	return shown
}

func stepStatus(name, result, detail string, at time.Time) v1alpha1.StepStatus {
	return v1alpha1.StepStatus{Name: name, Result: result, Detail: detail, At: metav1.NewTime(at)}
}

// verdictOf is what people see of a verdict.
func verdictOf(v *policy.Verdict) *v1alpha1.VerdictStatus {
	if v == nil {
		return nil
	}
	status := &v1alpha1.VerdictStatus{Tier: string(v.Tier), Why: v.Why, Approvals: v.Approvals, OnMiss: v.OnMiss, GitOps: v.GitOps, Policies: v.Policies}
	for _, f := range v.Findings {
		status.Findings = append(status.Findings, v1alpha1.FindingStatus{Policy: f.Policy, Rule: f.Rule, Text: f.Text, Effect: string(f.Effect), Says: f.Says})
	}
	return status
}
