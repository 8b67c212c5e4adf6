package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/spoke/enrol"
	"github.com/writ-dev/writ/spoke/executor"
	"github.com/writ-dev/writ/spoke/probe"
	"github.com/writ-dev/writ/spoke/rehearsal"
	"github.com/writ-dev/writ/spoke/sandbox"
)

// issuerOf is the issuer that the configuration names: the cluster's own, or Vault.
func issuerOf(c config, own *tokenrequest.Issuer, enrolment *enrol.Enrolment) (credentials.Issuer, error) {
	options := vault.Options{Address: c.Vault.Address, CAFile: c.Vault.CAFile, Cluster: enrolment.Cluster,
		Certificate: enrolment.Source.ClientCertificate, Stock: c.Vault.Login == loginCertificate}
	switch c.Credentials {
	case byVault:
		return vault.New(options)
	case byOIDC:
		return vault.NewOIDC(options, own)
	}
	return own, nil
}

// sweeper can tell what it made and did not end.
type sweeper interface {
	Sweep(ctx context.Context) (ended int, err error)
}

// sweep ends what a spoke that died has left, credentials or probes, before there is anything new of it. It tries until that is done,
// or until the API server has said no for as long as it may not yet know everybody's rights: then nothing new can be made either.
func sweep(ctx context.Context, what string, of any, log *slog.Logger) error {
	s, ok := of.(sweeper)
	if !ok {
		return nil
	}
	began := time.Now()
	for {
		ended, err := s.Sweep(ctx)
		if ended > 0 {
			log.WarnContext(ctx, "what a spoke that died had left is ended", "what", what, "count", ended)
		}
		switch {
		case err == nil:
			return nil
		case (errors.Is(err, credentials.ErrRefused) || apierrors.IsForbidden(err)) && time.Since(began) > sweepRefused:
			log.ErrorContext(ctx, "what may be left of a spoke that died is not ended", "what", what, "error", err)
			return nil
		}
		log.WarnContext(ctx, "what may be left of a spoke that died is not ended yet, will try again", "what", what, "error", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(sweepAgain):
		}
	}
}

const (
	sweepRefused = 5 * time.Second
	sweepAgain   = time.Second
)

// boxOf is the sandbox; nil where the configuration has no pods run. Then there is no prober either.
func boxOf(c config, kube *rest.Config, log *slog.Logger) (*sandbox.Sandbox, executor.Prober, error) {
	if !c.runsPods() {
		return nil, nil, nil
	}
	box, err := sandbox.New(sandbox.Parts{Cluster: kube, Pod: c.RehearsalPod, Log: log})
	return box, prober{probe.Prober{Box: box}}, err
}

// stageOf is where rehearsals are done. Their identities are the cluster's own, whoever issues those of actions.
func stageOf(c config, issuer *tokenrequest.Issuer, kube *rest.Config, box *sandbox.Sandbox, root trust.Source, audience bundle.Audience, veil func(requestID string) []byte, log *slog.Logger) rehearsal.Stage {
	here := rehearsal.InProcess{Issuer: issuer, Cluster: rest.AnonymousClientConfig(kube), DryRun: executor.Rehearse, Veil: veil, Now: time.Now}
	if box == nil {
		return here
	}
	parts := rehearsal.SandboxParts{Box: box, Root: root, Audience: audience, Veil: veil, Log: log}
	if c.Rehearsal == rehearseAuto {
		parts.Otherwise = here
	}
	return rehearsal.Sandbox{SandboxParts: parts}
}

// dryRuns lends an executor the identities of rehearsals, which can read and make dry runs alone.
func dryRuns(issuer *tokenrequest.Issuer, kube *rest.Config) func(context.Context, trust.Verified) (*rest.Config, error) {
	anonymous := rest.AnonymousClientConfig(kube)
	return func(ctx context.Context, v trust.Verified) (*rest.Config, error) {
		lease, err := issuer.DryRuns(ctx, v)
		if err != nil {
			return nil, err
		}
		return lease.RESTConfig(anonymous), nil
	}
}
