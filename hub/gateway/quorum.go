package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
)

// quorum waits until enough approvers have signed the order's bytes with keys that the hub does not have, and puts their
// signatures into the order's envelope. The spoke verifies all of it again; what is refused here would be refused there.
func (g *Gateway) quorum(ctx context.Context, r *Record) (outcome, error) {
	root := g.Root.Present()
	keys, err := root.Verifiers(trust.RoleApprovers)
	if err != nil {
		return outcome{}, err
	}
	needed := max(root.Threshold(trust.RoleApprovers), int(r.Verdict.Approvals))
	if needed > len(keys) || needed > bundle.MaxSignatures {
		return refuse(refusal.New("approve", refusal.QuorumNotAvailable,
			"tier high (%s) needs %d approvers who sign, and the trust root names %d: make one that names more (writ trust init --approver)", r.Verdict.Why, needed, len(keys))), nil
	}
	envelope, _, _, no := bundle.OpenOrder(r.OrderEnvelope)
	if no != nil {
		return outcome{}, fmt.Errorf("the record's order: %s", no)
	}
	var counted []Word
	ignored := ""
	for _, word := range r.Words {
		if no := g.objection(ctx, root, r, word, envelope, keys, counted); no != "" {
			ignored = "; " + no
			continue
		}
		if !word.Approve {
			return refuse(refusal.New("approve", refusal.Denied, "%s: %s", word.Approver, orElse(word.Reason, "no reason given"))), nil
		}
		counted = append(counted, word)
		if len(counted) == needed {
			return g.agreed(ctx, envelope, keys, counted)
		}
	}
	return waiting(r.Order.ValidUntil.Add(time.Second), "approvers who sign, %d of %d have, until %s%s: writ approve %s",
		len(counted), needed, r.Order.ValidUntil.UTC().Format("15:04:05Z"), ignored, r.Request.Name), nil
}

// objection says why a word does not count; empty where it does. A denial needs no signature: it lets nothing through.
func (g *Gateway) objection(ctx context.Context, root *trust.Root, r *Record, word Word, envelope *dsse.Envelope, keys []dsse.Verifier, counted []Word) string {
	switch {
	case word.OrderDigest != r.OrderDigest:
		return word.Approver + " approved another order"
	case word.Approver == "" || word.Approver == r.Request.Requester:
		return "nobody approves their own request"
	case !word.Approve:
		return ""
	case word.Signature == nil:
		return word.Approver + " has not signed: tier high needs writ approve --key, or an ssh-agent"
	case root.Owner(word.Signature.KeyID) != word.Approver:
		return word.Approver + " signed with a key that the trust root does not give to them"
	case slices.ContainsFunc(counted, func(w Word) bool { return w.Approver == word.Approver || w.Signature.KeyID == word.Signature.KeyID }):
		return word.Approver + " has signed already"
	}
	alone := *envelope
	alone.Signatures = []dsse.Signature{*word.Signature}
	if _, err := bundle.VerifyAll(ctx, &alone, 1, keys); err != nil {
		return "the signature of " + word.Approver + " does not verify"
	}
	return ""
}

// agreed carries the signatures that count in the order's envelope from here on.
func (g *Gateway) agreed(ctx context.Context, envelope *dsse.Envelope, keys []dsse.Verifier, words []Word) (outcome, error) {
	signed := *envelope
	signed.Signatures = nil
	var names, ids []string
	for _, word := range words {
		signed.Signatures = append(signed.Signatures, *word.Signature)
		names, ids = append(names, word.Approver), append(ids, word.ID)
	}
	if _, err := bundle.VerifyAll(ctx, &signed, len(words), keys); err != nil {
		return outcome{}, fmt.Errorf("the quorum's signatures together: %w", err)
	}
	raw, err := json.Marshal(signed)
	if err != nil {
		return outcome{}, err
	}
	out := passed("signed by %s", strings.Join(names, " and "))
	out.learn = func(r *Record) { r.OrderEnvelope, r.Quorum = raw, ids }
	return out, nil
}
