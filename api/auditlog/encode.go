package auditlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	kjson "sigs.k8s.io/json"

	"github.com/writ-dev/writ/api/bundle"
)

// The two ways in which an entry is refused before it is written.
var (
	ErrTooLarge = errors.New("the audit log entry is too large")
	ErrInvalid  = errors.New("not a valid audit log entry")
)

// Encode writes an entry in its one form: the bytes of a leaf. It refuses what Decode would refuse.
func Encode(e Entry) ([]byte, error) {
	e.V, e.Time = Format, e.Time.UTC()
	if e.Intent != nil {
		intent := *e.Intent
		intent.OrderEnds = intent.OrderEnds.UTC()
		e.Intent = &intent
	}
	if e.TrustRoot != nil {
		root := *e.TrustRoot
		root.Expires = root.Expires.UTC()
		e.TrustRoot = &root
	}
	if err := validate(e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	raw, err := marshal(e)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if len(raw) > MaxEntry {
		return nil, fmt.Errorf("%w: a %s of %d bytes, at most %d", ErrTooLarge, e.Type, len(raw), MaxEntry)
	}
	return raw, nil
}

// marshal is json.Marshal, but text that is not UTF-8 comes out in the form that it has when read back and written again.
func marshal(e Entry) ([]byte, error) {
	raw, err := json.Marshal(e)
	if err != nil || !bytes.Contains(raw, []byte(`\ufffd`)) {
		return raw, err
	}
	var again Entry
	if err := json.Unmarshal(raw, &again); err != nil {
		return nil, err
	}
	return json.Marshal(again)
}

// Decode reads the bytes of a leaf strictly: no unknown, duplicate or case-variant key, and only the form that Encode writes.
func Decode(raw []byte) (Entry, error) {
	var e Entry
	if len(raw) > MaxEntry {
		return e, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(raw), MaxEntry)
	}
	strict, err := kjson.UnmarshalStrict(raw, &e)
	if err = errors.Join(append(strict, err)...); err != nil {
		return e, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	again, err := Encode(e)
	if err != nil {
		return e, err
	}
	if e.V != Format || !bytes.Equal(again, raw) {
		return e, fmt.Errorf("%w: not in the form in which entries of format %d are written", ErrInvalid, Format)
	}
	return e, nil
}

// validate checks that an entry says what its type must say. Signatures are not its business: they need the log around it.
func validate(e Entry) error {
	parts := map[Type]bool{
		TypeEnrolment: e.Enrolment != nil, TypeRefusal: e.Refusal != nil, TypeApproval: e.Approval != nil, TypeEscalated: e.Escalated != nil,
		TypeIntent: e.Intent != nil, TypeReceipt: e.Receipt != nil, TypeOutcome: e.Outcome != nil, TypeExpired: e.Expired != nil,
		TypeReset: e.Reset != nil, TypeRevoked: e.Revoked != nil, TypeFreeze: e.Freeze != nil,
		TypeTrustRoot: e.TrustRoot != nil, TypeAuthority: e.Authority != nil,
		TypeCarried: e.Carried != nil, TypeObserved: e.Observed != nil,
	}
	if _, known := parts[e.Type]; !known {
		return fmt.Errorf("type %q is unknown", e.Type)
	}
	for _, kind := range Types {
		if parts[kind] != (kind == e.Type) {
			return fmt.Errorf("type %q and field %q do not go together", e.Type, kind)
		}
	}
	if e.Time.IsZero() {
		return errors.New("the time is missing")
	}
	if e.Type == TypeEnrolment {
		return validateEnrolment(e)
	}
	if e.Type == TypeReset {
		return validateReset(e)
	}
	if e.Type == TypeRevoked {
		return validateRevoked(e)
	}
	if e.Type == TypeFreeze {
		return validateFreeze(e)
	}
	if e.Type == TypeTrustRoot || e.Type == TypeAuthority {
		return validateKeys(e)
	}
	if e.Request == nil || e.Request.Name == "" || e.Request.UID == "" {
		return fmt.Errorf("a %s needs its request", e.Type)
	}
	return validatePart(e)
}

func validateRevoked(e Entry) error {
	if e.Cluster == "" || e.Revoked.Reason == "" {
		return errors.New("a revocation needs cluster and reason")
	}
	return nil
}

func validateFreeze(e Entry) error {
	if e.Cluster != "" || e.Request != nil || e.Freeze.Name == "" || e.Freeze.UID == "" || e.Freeze.Scope == "" || e.Freeze.Reason == "" {
		return errors.New("a freeze needs name, uid, scope and reason, and has neither cluster nor request")
	}
	if e.Freeze.State != Frozen && e.Freeze.State != Thawed && e.Freeze.State != Ended {
		return fmt.Errorf("a freeze in the state %q", e.Freeze.State)
	}
	return nil
}

func validateEnrolment(e Entry) error {
	if e.Cluster == "" || e.Enrolment.ClusterUID == "" || e.Enrolment.SVID == "" {
		return errors.New("an enrolment needs cluster, clusterUID and svid")
	}
	_, err := receiptKey("", e.Enrolment.ReceiptKey)
	return err
}

func validateReset(e Entry) error {
	if e.Cluster == "" || e.Reset.Epoch == 0 {
		return errors.New("a reset needs cluster and epoch")
	}
	_, reset, no := bundle.OpenReset(e.Reset.Envelope)
	if no != nil {
		return errors.New(no.Detail)
	}
	if reset.Epoch != e.Reset.Epoch || !reset.For(reset.TrustDomain, e.Cluster) {
		return errors.New("the reset is not the one that was signed")
	}
	return nil
}

func validatePart(e Entry) error {
	missing := func(fields ...string) bool {
		for _, f := range fields {
			if f == "" {
				return true
			}
		}
		return false
	}
	switch e.Type {
	case TypeRefusal:
		if missing(e.Refusal.Step, e.Refusal.Reason) {
			return errors.New("a refusal needs step and reason")
		}
	case TypeApproval:
		if missing(e.Approval.Approver, e.Approval.OrderDigest) || e.Approval.Verdict != Approve && e.Approval.Verdict != Deny {
			return errors.New("an approval needs approver, order digest and verdict")
		}
	case TypeEscalated:
		if missing(e.Escalated.Group, e.Escalated.OrderDigest) {
			return errors.New("an escalation needs group and order digest")
		}
	case TypeIntent:
		if missing(e.Cluster, e.Intent.Action, e.Intent.OrderDigest) || e.Intent.OrderEnds.IsZero() {
			return errors.New("an intent needs cluster, action, order digest and the end of its order")
		}
	case TypeExpired:
		if missing(e.Cluster, e.Expired.BundleID, e.Expired.OrderDigest) {
			return errors.New("an expiry needs cluster, bundle and order digest")
		}
	case TypeCarried:
		if missing(e.Cluster, e.Carried.OrderDigest, e.Carried.Change) {
			return errors.New("what the hub has done needs cluster, order digest and the change")
		}
	case TypeObserved:
		if missing(e.Cluster, e.Observed.OrderDigest) || e.Observed.Result != bundle.CameTrue && e.Observed.Result != bundle.DidNot {
			return errors.New("what the hub has seen needs cluster, order digest and result")
		}
	case TypeReceipt:
		_, err := openReceipt(e)
		return err
	case TypeOutcome:
		_, err := openOutcome(e)
		return err
	}
	return nil
}
