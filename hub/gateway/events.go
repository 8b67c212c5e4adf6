package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/fault"
)

// maxWords bounds how many approvals of one request are kept.
const maxWords = 32

// ErrNotOurs is wrapped by every error about something that a spoke sent and that is not believed.
var ErrNotOurs = errors.New("not believed")

// Submit takes a request in. Asking again with the same ID changes nothing.
func (g *Gateway) Submit(ctx context.Context, request Request) error {
	if len(request.Parameters) == 0 {
		request.Parameters = json.RawMessage("{}")
	}
	r := &Record{Request: request, Next: life[0].name, Entered: g.now(), Trace: g.begin(request)}
	fault.Point("hub", "submit", "before")
	err := g.put(ctx, r, store.Check(recordKey(request.ID), 0), store.Put(openKey(request.ID), []byte{'1'}))
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return err
	}
	fault.Point("hub", "submit", "after")
	g.work.Add(request.ID) // also when it is known: whoever asks again may have seen the first attempt fail half way
	return nil
}

// Hear takes an approver's word in, once.
func (g *Gateway) Hear(ctx context.Context, requestID string, word Word) error {
	return g.change(ctx, requestID, func(r *Record) bool {
		if len(r.Words) >= maxWords {
			return false
		}
		for _, known := range r.Words {
			if known.ID == word.ID {
				return false
			}
		}
		r.Words = append(r.Words, word)
		return true
	})
}

// Facts takes what a spoke saw of a target. The first answer counts; only the cluster that was asked may answer.
func (g *Gateway) Facts(ctx context.Context, cluster, inspectID string, raw []byte, problem string) error {
	var facts catalogue.Facts
	if len(raw) > 0 {
		if err := json.Unmarshal(raw, &facts); err != nil || facts.UID == "" {
			return fmt.Errorf("%w: facts of cluster %s about %s cannot be read", ErrNotOurs, cluster, inspectID)
		}
	}
	return g.change(ctx, inspectID, func(r *Record) bool {
		if r.Request.Cluster != cluster || r.Facts != nil || r.FactsProblem != "" {
			return false
		}
		if len(raw) > 0 {
			r.Facts = &facts
		} else {
			r.FactsProblem = orElse(problem, "the spoke gave no facts")
		}
		return true
	})
}

// Receipt takes a spoke's signed word on what it did with a bundle, and what it collected, if anything: only what the receipt names.
func (g *Gateway) Receipt(ctx context.Context, cluster, bundleID string, raw, artefact []byte) error {
	envelope, receipt, no := bundle.OpenReceipt(raw)
	if no != nil {
		return fmt.Errorf("%w: receipt for %s: %s", ErrNotOurs, bundleID, no)
	}
	if err := g.attest(ctx, cluster, envelope); err != nil {
		return fmt.Errorf("receipt for %s: %w", bundleID, err)
	}
	if receipt.Artefact == "" {
		artefact = nil
	} else if receipt.Artefact != bundle.Digest(artefact) || len(artefact) > catalogue.MaxArtefact || !utf8.Valid(artefact) {
		return fmt.Errorf("%w: what came with the receipt for %s is not what it names, or is no text of at most %d bytes", ErrNotOurs, bundleID, catalogue.MaxArtefact)
	}
	return g.change(ctx, requestOf(receipt.BundleID), func(r *Record) bool {
		if r.Receipt != nil || !r.answers(cluster, receipt.BundleID, receipt.OrderDigest) || receipt.BundleDigest != r.Bundle.Digest {
			return false
		}
		r.Receipt, r.ReceiptRaw, r.Artefact = &receipt, raw, artefact
		return true
	})
}

// Outcome takes a spoke's signed word on what came true.
func (g *Gateway) Outcome(ctx context.Context, cluster, bundleID string, raw []byte) error {
	envelope, result, no := bundle.OpenOutcome(raw)
	if no != nil {
		return fmt.Errorf("%w: outcome of %s: %s", ErrNotOurs, bundleID, no)
	}
	if err := g.attest(ctx, cluster, envelope); err != nil {
		return fmt.Errorf("outcome of %s: %w", bundleID, err)
	}
	return g.change(ctx, requestOf(result.BundleID), func(r *Record) bool {
		if r.Outcome != nil || !r.answers(cluster, result.BundleID, result.OrderDigest) {
			return false
		}
		r.Outcome, r.OutcomeRaw = &result, raw
		return true
	})
}

// answers reports whether a signed word is about the bundle of this record, from the cluster it was sent to.
func (r *Record) answers(cluster, bundleID, orderDigest string) bool {
	return r.Request.Cluster == cluster && r.Bundle != nil && r.Bundle.ID == bundleID && r.OrderDigest == orderDigest
}

// attest checks that an envelope is signed with the receipt key of the cluster.
func (g *Gateway) attest(ctx context.Context, cluster string, envelope *dsse.Envelope) error {
	enrolled, ok, err := g.Clusters.Enrolled(ctx, cluster)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: cluster %s is unknown", ErrNotOurs, cluster)
	}
	if _, err := bundle.VerifyAll(ctx, envelope, 1, []dsse.Verifier{enrolled.ReceiptKey}); err != nil {
		return fmt.Errorf("%w: %w", ErrNotOurs, err)
	}
	return nil
}

// requestOf is the ID of the request that a bundle was made for.
func requestOf(bundleID string) string { return strings.TrimPrefix(bundleID, "bundle-") }

// Asked is what was asked for under an ID; false where nothing was.
func (g *Gateway) Asked(ctx context.Context, requestID string) (Request, bool, error) {
	r, err := g.load(ctx, requestID)
	if errors.Is(err, store.ErrNotFound) {
		return Request{}, false, nil
	}
	if err != nil {
		return Request{}, false, err
	}
	return r.Request, true, nil
}

// Show has the projector told of a record as it stands; false where there is none.
func (g *Gateway) Show(ctx context.Context, requestID string) (bool, error) {
	r, err := g.load(ctx, requestID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	g.Projector.Project(*r)
	return true, nil
}
