// Package rehearsal tries out what the hub is about to order, and signs what came of it.
//
// It promises that nothing is changed: a rehearsal is another type than an order, is done by an identity that admission in this
// cluster holds to dry runs, and never reaches whatever executes. What it says is what the order would meet here: this spoke's own
// reading of the catalogue, the cluster's own policy, and the API server's answer to a dry run.
package rehearsal

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/diff"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
)

// LocalPolicy is the cluster admin's own word on what may be done here.
type LocalPolicy interface {
	// Lowers is the tier to which the admin agrees to lower what the order's content demands; empty where to none.
	Lowers(order bundle.Order, now time.Time) catalogue.Tier
	Allow(order bundle.Order, floor catalogue.Tier, now time.Time) *refusal.Refusal
}

// Found is what a dry run found out.
type Found struct {
	Diff       diff.Diff
	Change     string // in words
	Credential string // the issuer and its lease or token ID; never a secret
	Place      bundle.Place
}

// Stage is where the dry run is made. An error is a fault: nothing can be said, and the hub asks again.
type Stage interface {
	Try(ctx context.Context, r trust.Rehearsable, envelope []byte) (Found, *refusal.Refusal, error)
}

// Parts are what a rehearser is made of.
type Parts struct {
	Audience bundle.Audience
	Root     trust.Source
	Policy   LocalPolicy
	Stage    Stage
	Receipts bundle.Signer
	Log      *slog.Logger
	Now      func() time.Time
}

// Rehearser rehearses. It may be used by several goroutines.
type Rehearser struct {
	Parts
	mu    sync.Mutex // guards known
	known map[string]*answer
}

// answer is what is said to a rehearsal, for when the hub asks again. It is nil while the rehearsal is under way.
type answer struct {
	raw  []byte
	ends time.Time
}

// maxKnown bounds how many rehearsals are under way or remembered.
const maxKnown = 128

// New makes a rehearser.
func New(parts Parts) *Rehearser { return &Rehearser{Parts: parts, known: map[string]*answer{}} }

// Rehearse does what the hub has signed, and returns the rehearsal's ID and the signed answer; nil where there is none: nobody
// knows whose it is, it is under way, its time is over, or there was a fault. The same rehearsal again gets the same answer.
func (r *Rehearser) Rehearse(ctx context.Context, envelope []byte) (id string, signed []byte) {
	authentic, no := trust.AuthenticateRehearsal(ctx, envelope, r.Root.Present(), r.Audience)
	if no != nil {
		r.Log.ErrorContext(ctx, "rehearsal rejected", "reason", string(no.Reason), "detail", no.Detail)
		return "", nil
	}
	asked := authentic.Rehearsal()
	now := r.Now()
	before, mine := r.begin(authentic, now)
	if !mine {
		return asked.ID, before
	}
	word, err := r.answer(ctx, authentic, envelope)
	if err == nil {
		signed, err = bundle.Seal(ctx, bundle.RehearsedType, word, r.Receipts)
	}
	if err != nil {
		r.Log.WarnContext(ctx, "rehearsal not answered; the hub will ask again", "rehearsal", asked.ID, "error", err)
		r.forget(authentic)
		return asked.ID, nil
	}
	r.remember(authentic, signed)
	said := ""
	if word.Refusal != nil {
		said = word.Refusal.String()
	}
	r.Log.InfoContext(ctx, "rehearsed", "rehearsal", asked.ID, "action", asked.Action, "target", asked.Target.String(),
		"place", string(word.Place), "change", word.Change, "refusal", said)
	return asked.ID, signed
}

// answer finds out what there is to say.
func (r *Rehearser) answer(ctx context.Context, a trust.AuthenticRehearsal, envelope []byte) (bundle.Rehearsed, error) {
	asked := a.Rehearsal()
	word := bundle.Rehearsed{Cluster: r.Audience.Cluster, RehearsalID: asked.ID, RehearsalDigest: a.Digest(), RequestID: asked.RequestID,
		Place: bundle.InProcess, StartedAt: r.Now().UTC()}
	check := func(name string, no *refusal.Refusal) bool {
		one := bundle.Check{Name: name, Passed: no == nil}
		if no != nil {
			word.Refusal, one.Detail = no, no.Detail
		}
		word.Checks, word.FinishedAt = append(word.Checks, one), r.Now().UTC()
		return no == nil
	}
	now, draft := r.Now(), asked.Draft()
	rehearsable, no := trust.JudgeRehearsal(a, now, trust.LoweredTo(r.Policy.Lowers(draft, now)))
	if no != nil && no.Reason == refusal.BundleExpired {
		return word, errExpired{no}
	}
	if !check(bundle.CheckSchema, no) {
		return word, nil
	}
	if !check(bundle.CheckPolicy, r.Policy.Allow(draft, rehearsable.Floor(), now)) {
		return word, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	found, no, err := r.Stage.Try(ctx, rehearsable, envelope)
	if err != nil {
		return word, err
	}
	word.Place, word.Credential = found.Place, found.Credential
	if check(bundle.CheckDryRun, no) {
		word.Change, word.Diff, word.Digest = refusal.OneLine(found.Change), &found.Diff, found.Diff.Digest()
	}
	return word, nil
}

// patience bounds one rehearsal, Job included.
const patience = 2 * time.Minute

// errExpired is a rehearsal whose time is over: the hub has signed another one by now.
type errExpired struct{ no *refusal.Refusal }

func (e errExpired) Error() string { return e.no.Detail }

// begin notes that a rehearsal is under way; where it is or was already, it returns the answer that was given.
func (r *Rehearser) begin(a trust.AuthenticRehearsal, now time.Time) (before []byte, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known, ok := r.known[a.Digest()]; ok {
		return known.raw, false
	}
	if !r.room(now) {
		return nil, false
	}
	r.known[a.Digest()] = &answer{ends: a.Rehearsal().Expires}
	return nil, true
}

// room forgets what has ended, and where that is not enough the answer that ends first: it would be found out again. It is false
// where too many are under way.
func (r *Rehearser) room(now time.Time) bool {
	first := ""
	for digest, known := range r.known {
		switch {
		case known.raw == nil:
		case now.After(known.ends):
			delete(r.known, digest)
		case first == "" || known.ends.Before(r.known[first].ends):
			first = digest
		}
	}
	if len(r.known) >= maxKnown && first != "" {
		delete(r.known, first)
	}
	return len(r.known) < maxKnown
}

func (r *Rehearser) remember(a trust.AuthenticRehearsal, signed []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.known[a.Digest()]; known != nil {
		known.raw = signed
	}
}

func (r *Rehearser) forget(a trust.AuthenticRehearsal) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, a.Digest())
}
