package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/credentials/vault"
	"github.com/writ-dev/writ/spoke/enrol"
	"github.com/writ-dev/writ/spoke/executor"
	"github.com/writ-dev/writ/spoke/rehearsal"
)

// issuerOf makes the issuer that the configuration names.
func issuerOf(c config, kube *rest.Config, enrolment *enrol.Enrolment) (credentials.Issuer, error) {
	if c.Credentials == "vault" {
		return vault.New(vault.Options{Address: c.Vault.Address, CAFile: c.Vault.CAFile, Cluster: enrolment.Cluster,
			Certificate: enrolment.Source.ClientCertificate, Stock: c.Vault.Login == loginCertificate})
	}
	return tokenrequest.New(kube)
}

// sweeper is an issuer that can tell what it issued and did not end.
type sweeper interface {
	Sweep(ctx context.Context) (ended int, err error)
}

// sweep ends the credentials of a spoke that died before it could, before anything new is issued. It tries until that is done, or
// until the API server has said no for as long as it may not yet know everybody's rights: then nothing can be issued either.
func sweep(ctx context.Context, issuer credentials.Issuer, log *slog.Logger) error {
	s, ok := issuer.(sweeper)
	if !ok {
		return nil
	}
	began := time.Now()
	for {
		ended, err := s.Sweep(ctx)
		if ended > 0 {
			log.WarnContext(ctx, "credentials were left, and are ended", "count", ended)
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, credentials.ErrRefused) && time.Since(began) > sweepRefused:
			log.ErrorContext(ctx, "credentials that may be left are not ended", "error", err)
			return nil
		}
		log.WarnContext(ctx, "credentials that may be left are not ended yet, will try again", "error", err)
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

// stageOf is where rehearsals are done. Their identities are the cluster's own, whoever issues those of actions.
func stageOf(c config, kube *rest.Config, root trust.Source, audience bundle.Audience, veil func(requestID string) []byte, log *slog.Logger) (rehearsal.Stage, error) {
	issuer, err := tokenrequest.New(kube)
	if err != nil {
		return nil, err
	}
	here := rehearsal.InProcess{Issuer: issuer, Cluster: rest.AnonymousClientConfig(kube), DryRun: executor.Rehearse, Veil: veil, Now: time.Now}
	if c.Rehearsal == rehearseInProcess || c.RehearsalPod.Image == "" {
		return here, nil
	}
	parts := rehearsal.SandboxParts{Cluster: kube, Pod: c.RehearsalPod, Root: root, Audience: audience, Veil: veil, Log: log}
	if c.Rehearsal == rehearseAuto {
		parts.Otherwise = here
	}
	return rehearsal.NewSandbox(parts)
}
