package rotation

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/identity"
)

// AwayLimit is how long a rotation of the CA waits for spokes that are away, at each of its two waits. Whoever stays away for longer
// is left behind, and has to come back as one that lost its identity does.
const AwayLimit = 7 * 24 * time.Hour

// caState is what is known of a rotation beside the CA's own stage.
type caState struct {
	Began time.Time `json:"began"` // the stage
	Hold  bool      `json:"hold"`  // the next authority is published, and is not to sign yet
	Force bool      `json:"force"` // nobody is waited for any more
	// Left are those whom the step to this stage did not wait for; Recorded is the last step that is on the audit log.
	Left     []string `json:"left,omitempty"`
	Recorded string   `json:"recorded,omitempty"`
}

// CAStatus is how far the rotation of the CA is.
type CAStatus struct {
	Stage    identity.Stage `json:"stage"`
	Held     bool           `json:"held,omitempty"`
	Began    time.Time      `json:"began,omitzero"`
	Until    time.Time      `json:"until,omitzero"`    // when who is away is waited for no more
	Expires  time.Time      `json:"expires"`           // the authority that signs
	Waits    []string       `json:"waits"`             // for whom
	Telling  bool           `json:"telling,omitempty"` // what the hub advertises, to Vault too, does not have the authorities of now yet
	Clusters []CAStanding   `json:"clusters"`
}

// CAStanding is how one cluster follows.
type CAStanding struct {
	Standing
	TrustsAll bool `json:"trustsAll"` // every authority that counts now
	SignedNew bool `json:"signedNew"` // its SVID is by the authority that signs now
}

// RotateCA begins a rotation of the CA, or lets one that is held or waits go on. With hold the next authority is published and
// does not sign before RotateCA is asked again without; with force nobody is waited for.
func (r *Rotation) RotateCA(ctx context.Context, hold, force bool) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	state, err := r.caState(ctx)
	if err != nil {
		return err
	}
	stage := r.CA.Stage()
	switch {
	case stage == identity.Idle && force:
		return fmt.Errorf("no rotation of the CA is under way: begin one (writ ca rotate), and see whom it waits for (writ ca status) before you leave somebody behind")
	case stage == identity.Signing && hold:
		return fmt.Errorf("the next authority signs already: a rotation that is so far cannot be held")
	case stage == identity.Idle:
		if err := r.CA.Prepare(ctx, r.Now()); err != nil {
			return err
		}
		state = caState{Began: r.Now().UTC(), Recorded: state.Recorded}
		r.follow(ctx)
		r.Log.InfoContext(ctx, "published the next authority", "signer", r.CA.Signer())
	}
	state.Hold, state.Force = hold, state.Force || force
	if err := r.keepCA(ctx, state); err != nil {
		return err
	}
	return r.recordCA(ctx, state)
}

// moveCA takes the next step of a rotation where nobody has to be waited for.
func (r *Rotation) moveCA(ctx context.Context) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	state, err := r.caState(ctx)
	if err == nil {
		err = r.recordCA(ctx, state)
	}
	if err != nil || r.CA.Stage() == identity.Idle {
		return err
	}
	status, state, err := r.statusOfCA(ctx)
	if err != nil {
		return err
	}
	if state.Hold || len(status.Waits) > 0 && !state.Force && r.Now().Before(status.Until) {
		return nil
	}
	if len(status.Waits) > 0 {
		r.Log.WarnContext(ctx, "leaves behind who has not followed", "stage", status.Stage, "clusters", status.Waits)
	}
	switch status.Stage {
	case identity.Published:
		err = r.CA.Switch(ctx, r.Now())
	case identity.Signing:
		if err = r.ownByNew(ctx); err == nil {
			err = r.CA.Drop()
		}
	}
	if err != nil {
		return err
	}
	r.follow(ctx)
	r.Log.InfoContext(ctx, "the CA's rotation moved on", "stage", r.CA.Stage(), "signer", r.CA.Signer())
	state = caState{Began: r.Now().UTC(), Force: state.Force && r.CA.Stage() != identity.Idle, Left: status.Waits, Recorded: state.Recorded}
	if err := r.keepCA(ctx, state); err != nil {
		return err
	}
	return r.recordCA(ctx, state)
}

// steps are what the audit log calls the stages.
var steps = map[identity.Stage]auditlog.AuthorityStep{
	identity.Published: auditlog.AuthorityPublished, identity.Signing: auditlog.AuthoritySigning, identity.Idle: auditlog.AuthorityDropped,
}

// recordCA puts the step that the CA has taken on the audit log, if it is not there: no other step is taken before.
func (r *Rotation) recordCA(ctx context.Context, state caState) error {
	stage, digest := r.CA.Stage(), r.CA.Authorities().Digest()
	mark := string(stage) + " " + digest
	if state.Recorded == mark || state.Recorded == "" && stage == identity.Idle { // none was ever taken
		return nil
	}
	err := r.Record(ctx, auditlog.Entry{Type: auditlog.TypeAuthority, Time: r.Now(), Authority: &auditlog.Authority{Step: steps[stage],
		Signer: r.CA.Signer(), Digest: digest, LeftBehind: state.Left}})
	if err != nil {
		return fmt.Errorf("the step of the CA's rotation is not on the audit log yet: %w", err)
	}
	state.Recorded = mark
	return r.keepCA(ctx, state)
}

// ownByNew makes sure that the hub's own SVID is by the authority that signs now: by the old one no spoke would know it any more.
func (r *Rotation) ownByNew(ctx context.Context) error {
	if own := r.Source.SVID(); own != nil && identity.AuthorityOf(own.Leaf()) == r.CA.Signer() {
		return nil
	}
	svid, authorities, err := r.Renew(ctx)
	if err != nil {
		return fmt.Errorf("the hub's own SVID: %w", err)
	}
	r.Source.Set(svid, authorities)
	return nil
}

// follow makes the hub's own identity, and what it tells, that of the CA as it is now.
func (r *Rotation) follow(ctx context.Context) {
	svid, authorities, err := r.Renew(ctx)
	if err == nil {
		r.Source.Set(svid, authorities)
	} else { // the one that it has is by an authority that counts still
		r.Source.SetAuthorities(r.CA.Authorities())
		r.Log.WarnContext(ctx, "the hub keeps its former SVID for now", "error", err)
	}
	r.changes.Add(1)
	r.Fleet.Announce()
}

// StatusOfCA says how far the rotation is, and for whom it waits.
func (r *Rotation) StatusOfCA(ctx context.Context) (CAStatus, error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	status, _, err := r.statusOfCA(ctx)
	return status, err
}

func (r *Rotation) statusOfCA(ctx context.Context) (CAStatus, caState, error) {
	state, err := r.caState(ctx)
	if err != nil {
		return CAStatus{}, state, err
	}
	all, err := r.Standings(ctx)
	if err != nil {
		return CAStatus{}, state, err
	}
	s := CAStatus{Stage: r.CA.Stage(), Expires: r.CA.Expires(), Waits: []string{}, Telling: r.telling(), Clusters: []CAStanding{}}
	if s.Stage != identity.Idle {
		s.Held, s.Began, s.Until = state.Hold, state.Began, state.Began.Add(AwayLimit)
	}
	digest, signer := r.CA.Authorities().Digest(), r.CA.Signer()
	for _, c := range all {
		one := CAStanding{Standing: c, TrustsAll: c.Authorities == digest, SignedNew: c.SVIDAuthority == signer}
		s.Clusters = append(s.Clusters, one)
		if s.Stage == identity.Published && !one.TrustsAll || s.Stage == identity.Signing && !one.SignedNew {
			s.Waits = append(s.Waits, c.Cluster)
		}
	}
	return s, state, nil
}

func (r *Rotation) caState(ctx context.Context) (state caState, err error) {
	raw, err := r.kept(ctx, caKey)
	if err != nil || raw == nil {
		return caState{Began: r.Now().UTC()}, err
	}
	return state, json.Unmarshal(raw, &state)
}

func (r *Rotation) keepCA(ctx context.Context, state caState) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return err
	}
	return r.Store.Commit(ctx, store.Put(caKey, raw))
}
