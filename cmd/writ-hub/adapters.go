package main

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/hub/audit"
	"github.com/writ-dev/writ/hub/enrol"
	"github.com/writ-dev/writ/hub/gateway"
	"github.com/writ-dev/writ/hub/link"
)

// clusters shows the live records of enrolment to the gateway and the link.
type clusters struct {
	enrolment   *enrol.Service
	trustDomain spiffeid.TrustDomain
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

// Authorise implements link.Clusters.
func (c clusters) Authorise(ctx context.Context, leaf *x509.Certificate) (link.Cluster, bool, error) {
	record, ok, err := c.enrolment.Authorise(ctx, leaf)
	if err != nil || !ok {
		return link.Cluster{}, false, err
	}
	return link.Cluster{Name: record.Name, UID: record.Claim.ClusterUID, Epoch: record.Epoch}, true, nil
}

// recorder puts enrolments on the audit log.
type recorder struct{ trail *audit.Log }

// RecordEnrolment implements enrol.Recorder.
func (r recorder) RecordEnrolment(ctx context.Context, e enrol.Enrolment) error {
	_, err := r.trail.Append(ctx, auditlog.Entry{Type: auditlog.TypeEnrolment, Time: e.At, Cluster: e.Cluster,
		Enrolment: &auditlog.Enrolment{ClusterUID: e.ClusterUID, SVID: e.SPIFFEID,
			ReceiptKey: string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: e.ReceiptKey}))}})
	return err
}

// lateInspector lets the gateway be made before the link, which needs the gateway.
type lateInspector struct{ *link.Link }

// Inspect implements gateway.Inspector.
func (l *lateInspector) Inspect(ctx context.Context, cluster string, inspect *writv1.Inspect) bool {
	return l.Link != nil && l.Link.Inspect(ctx, cluster, inspect)
}
