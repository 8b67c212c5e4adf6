package main

import (
	"context"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
)

// writeStatuses writes what a hub would, for a scale from 3 to 4 replicas: waiting.json, succeeded.json, and others. The
// envelopes in them are really signed.
func writeStatuses(dir string) error {
	now := time.Now().UTC().Truncate(time.Second)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return err
	}
	key, err := bundle.NewSigner("", private)
	if err != nil {
		return err
	}
	order := bundle.Order{Format: bundle.Format, ID: "o1", Audience: bundle.Audience{TrustDomain: "test.writ.dev", Cluster: "east", ClusterUID: "0a1b"},
		ValidFrom: now, ValidUntil: now.Add(time.Hour), Action: "scale", Parameters: []byte(`{"replicas":4}`), Tier: catalogue.Medium,
		Target:          catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout", UID: "d1"},
		DeadlineSeconds: 30, RequestID: "r1", PolicyDigest: bundle.Digest(nil)}
	envelope, digest, err := bundle.Wrap(order)
	if err != nil {
		return err
	}
	raw, err := bundle.Seal(context.Background(), bundle.BundleType, bundle.Bundle{Format: bundle.Format, ID: "b1", Epoch: 1, Sequence: 42,
		NotBefore: now, Expires: now.Add(5 * time.Minute), Order: envelope}, key)
	if err != nil {
		return err
	}
	receipt, err := bundle.Seal(context.Background(), bundle.ReceiptType, bundle.Receipt{Cluster: "east", BundleID: "b1", Result: bundle.Applied,
		Change: "replicas 3 → 4", Credential: "tokenrequest", StartedAt: now, FinishedAt: now.Add(21 * time.Millisecond),
		Spans: []bundle.Span{{Name: "apply", Start: now, End: now.Add(7 * time.Millisecond)}}}, key)
	if err != nil {
		return err
	}
	outcome, err := bundle.Seal(context.Background(), bundle.OutcomeType, bundle.Outcome{Cluster: "east", Result: bundle.CameTrue,
		Detail: "4/4 ready", ObservedAt: now}, key)
	if err != nil {
		return err
	}
	step := func(name, result, detail string) v1alpha1.StepStatus {
		return v1alpha1.StepStatus{Name: name, Result: result, Detail: detail, At: metav1.NewTime(now)}
	}
	waiting := v1alpha1.ActionRequestStatus{Phase: v1alpha1.PhaseAwaitingApproval, Message: "waiting for an approver", Tier: "medium",
		Diff: &v1alpha1.DiffStatus{Object: "deployment/shop/checkout/scale", Place: "InProcess", Digest: digest, Omitted: 2,
			Changes: []v1alpha1.FieldChange{{Path: "spec.replicas", Before: "3", After: "4\x1b[31m"}}},
		Decision: &v1alpha1.DecisionStatus{Reasoning: "playbook more", Summary: "too few for the load", At: metav1.NewTime(now),
			Evidence: []v1alpha1.EvidenceStatus{{Digest: digest, Reason: "DeploymentNotProgressing", Severity: "warning", Object: "deployment/shop/checkout",
				Count: 3, LastSeen: metav1.NewTime(now), Values: map[string]string{"cause": "ProgressDeadlineExceeded\x1b[31m"}}}},
		Verdict: &v1alpha1.VerdictStatus{Tier: "medium", Why: "content", Policies: []string{"calm", "shop"}, Findings: []v1alpha1.FindingStatus{
			{Policy: "shop", Rule: "validations[0]", Text: "parameters.replicas < 9", Effect: "agrees"}}},
		OrderDigest: digest, Prediction: "4 ready replicas within 300 s", Steps: []v1alpha1.StepStatus{
			step("validate", "passed", ""), step("judge", "passed", "tier medium: 3 → 4 is beyond 50 %"), step("approve", "waiting", "an approver")}}
	executing := waiting
	executing.Phase, executing.Message = v1alpha1.PhaseExecuting, "waiting for the receipt of cluster east"
	executing.Bundle = &v1alpha1.BundleStatus{ID: "b1", Epoch: 1, Sequence: 42, Digest: bundle.Digest(raw), Expires: metav1.NewTime(now.Add(5 * time.Minute)), Envelope: string(raw)}
	succeeded := executing
	succeeded.Phase, succeeded.Message = v1alpha1.PhaseSucceeded, "replicas 3 → 4; 4/4 ready"
	succeeded.Change, succeeded.Inverse = "replicas 3 → 4", `{"action":"scale","parameters":{"replicas":3}}`
	succeeded.Receipt, succeeded.Outcome = string(receipt), string(outcome)
	refused := v1alpha1.ActionRequestStatus{Phase: v1alpha1.PhaseRefused, Reason: "NoPolicy", Message: "refused at judge (NoPolicy): no policy\x1b[31m matches"}
	for name, status := range map[string]any{"waiting.json": waiting, "executing.json": executing, "succeeded.json": succeeded, "refused.json": refused} {
		if err := writeJSON(dir, name, status); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, "envelope.json"), raw, 0o600)
}
