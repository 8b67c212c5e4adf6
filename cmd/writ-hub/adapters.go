package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/hub/audit"
	"github.com/writ-dev/writ/hub/enrol"
	"github.com/writ-dev/writ/hub/gateway"
	"github.com/writ-dev/writ/hub/intake"
	"github.com/writ-dev/writ/hub/link"
	"github.com/writ-dev/writ/hub/rotation"
	"github.com/writ-dev/writ/internal/identity"
)

// clusters shows the live records of enrolment to the gateway and the link.
type clusters struct {
	enrolment   *enrol.Service
	trustDomain spiffeid.TrustDomain
	source      *identity.Source
}

// Enrolled implements gateway.Clusters.
func (c clusters) Enrolled(ctx context.Context, name string) (gateway.Enrolled, bool, error) {
	record, ok, err := c.enrolment.Get(ctx, name)
	if err != nil || !ok {
		return gateway.Enrolled{}, false, err
	}
	public, err := x509.ParsePKIXPublicKey(record.Claim.ReceiptKey)
	if err != nil {
		return gateway.Enrolled{}, false, fmt.Errorf("receipt key of %s: %w", name, err)
	}
	key, err := bundle.NewVerifier("", public)
	if err != nil {
		return gateway.Enrolled{}, false, fmt.Errorf("receipt key of %s: %w", name, err)
	}
	return gateway.Enrolled{
		Audience: bundle.Audience{TrustDomain: c.trustDomain.Name(), Cluster: name, ClusterUID: record.Claim.ClusterUID},
		Epoch:    record.Epoch, ReceiptKey: key,
	}, true, nil
}

// Authorise implements link.Clusters. A connection outlives the handshake that it was judged by: the authority must count still.
func (c clusters) Authorise(ctx context.Context, leaf *x509.Certificate) (link.Cluster, bool, error) {
	if !c.source.Authorities().Vouch(leaf) {
		return link.Cluster{}, false, nil
	}
	record, ok, err := c.enrolment.Authorise(ctx, leaf)
	if err != nil || !ok {
		return link.Cluster{}, false, err
	}
	return link.Cluster{Name: record.Name, UID: record.Claim.ClusterUID, Epoch: record.Epoch}, true, nil
}

// standings says how clusters stand, from the store.
type standings struct {
	enrolment *enrol.Service
	gateway   *gateway.Gateway
	rotation  *rotation.Rotation
	now       func() time.Time
}

func (s standings) of(ctx context.Context, name string) (intake.Standing, bool, error) {
	c, known, err := s.enrolment.Look(ctx, name)
	if err != nil || !known {
		return intake.Standing{}, false, err
	}
	standing := intake.Standing{At: s.now(), Live: c.Live(), Waits: c.Waits(), Manual: c.Manual, Pinned: c.Pin != nil, Epoch: c.Epoch,
		TrustRoot: s.rotation.RootOf(name)}
	if !c.Used() {
		standing.TokenUntil = c.IssuedAt.Add(enrol.TokenLife)
	}
	if c.Revoked != nil {
		standing.Revoked = c.Revoked.Reason
	}
	if c.Claim != nil {
		standing.UID, standing.Key = c.Claim.ClusterUID, c.Claim.Key()
	}
	if standing.Queue, err = s.gateway.Queued(ctx, name, c.Epoch); err != nil {
		return standing, false, err
	}
	standing.Sequence, err = s.gateway.Acknowledged(ctx, name, c.Epoch)
	return standing, err == nil, err
}

// recorder puts enrolments on the audit log.
type recorder struct{ trail *audit.Log }

func (r recorder) record(ctx context.Context, entry auditlog.Entry) error {
	_, err := r.trail.Append(ctx, entry)
	return err
}

// RecordEnrolment implements enrol.Recorder.
func (r recorder) RecordEnrolment(ctx context.Context, e enrol.Enrolment) error {
	return r.record(ctx, auditlog.Entry{Type: auditlog.TypeEnrolment, Time: e.At, Cluster: e.Cluster,
		Enrolment: &auditlog.Enrolment{ClusterUID: e.ClusterUID, SVID: e.SPIFFEID,
			ReceiptKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: e.ReceiptKey}))}})
}

// RecordReset implements enrol.Recorder.
func (r recorder) RecordReset(ctx context.Context, cluster string, epoch uint64, statement []byte, at time.Time) error {
	return r.record(ctx, auditlog.Entry{Type: auditlog.TypeReset, Time: at, Cluster: cluster,
		Reset: &auditlog.Reset{Epoch: epoch, Envelope: statement}})
}

// RecordRevocation implements enrol.Recorder.
func (r recorder) RecordRevocation(ctx context.Context, cluster, reason string, at time.Time) error {
	return r.record(ctx, auditlog.Entry{Type: auditlog.TypeRevoked, Time: at, Cluster: cluster, Revoked: &auditlog.Revoked{Reason: reason}})
}

// Reset implements link.Clusters.
func (c clusters) Reset(ctx context.Context, name string) (statement []byte, err error) {
	record, ok, err := c.enrolment.Get(ctx, name)
	if err != nil || !ok {
		return nil, err
	}
	return record.Reset, nil
}

// followers are who is to follow a rotation.
type followers struct {
	enrolment *enrol.Service
	spokes    *lateInspector
}

// Live implements rotation.Fleet.
func (f followers) Live(ctx context.Context) (names []string, err error) {
	live, err := f.enrolment.List(ctx)
	for _, c := range live {
		names = append(names, c.Name)
	}
	return names, err
}

// Connected implements rotation.Fleet.
func (f followers) Connected() []string {
	if f.spokes.Link == nil {
		return nil
	}
	return f.spokes.Connected()
}

// Announce implements rotation.Fleet.
func (f followers) Announce() { f.spokes.Announce() }

// lateInspector lets the gateway be made before the link, which needs the gateway.
type lateInspector struct{ *link.Link }

// Rehearse implements gateway.Rehearser.
func (l *lateInspector) Rehearse(ctx context.Context, cluster string, envelope []byte) (sent, able bool) {
	if l.Link == nil {
		return false, true
	}
	return l.Link.Rehearse(ctx, cluster, envelope)
}

// Announce implements gateway.Announcer.
func (l *lateInspector) Announce() {
	if l.Link != nil {
		l.Link.Announce()
	}
}

// Inspect implements gateway.Inspector.
func (l *lateInspector) Inspect(ctx context.Context, cluster string, inspect *writv1.Inspect) (sent, able bool) {
	if l.Link == nil {
		return false, true
	}
	return l.Link.Inspect(ctx, cluster, inspect)
}
