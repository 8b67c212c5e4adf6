package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/capability"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/release"
	"github.com/writ-dev/writ/internal/telemetry"
	"github.com/writ-dev/writ/spoke/census"
	"github.com/writ-dev/writ/spoke/enrol"
	"github.com/writ-dev/writ/spoke/epoch"
	"github.com/writ-dev/writ/spoke/executor"
	"github.com/writ-dev/writ/spoke/heads"
	"github.com/writ-dev/writ/spoke/journal"
	"github.com/writ-dev/writ/spoke/link"
	"github.com/writ-dev/writ/spoke/localpolicy"
	"github.com/writ-dev/writ/spoke/rehearsal"
	"github.com/writ-dev/writ/spoke/signals"
	"github.com/writ-dev/writ/spoke/target"
	"github.com/writ-dev/writ/spoke/trusted"
)

// pruneEvery is how often the journal forgets orders that have ended.
const pruneEvery = time.Hour

// serve runs the spoke until the context ends, and answers for its health from the first moment.
func serve(ctx context.Context, path string, log *slog.Logger) error {
	c, err := readConfig(path)
	if err != nil {
		return err
	}
	vital := newVitals(time.Now)
	group, ctx := errgroup.WithContext(ctx)
	if c.Health != "" {
		answer, err := vital.checks.Listen(ctx, c.Health)
		if err != nil {
			return err
		}
		group.Go(func() error { return answer(ctx) })
	}
	group.Go(func() error { return run(ctx, c, vital, log) })
	return group.Wait()
}

// run makes the spoke by hand, in order, and runs it until the context ends.
func run(ctx context.Context, c config, vital *vitals, log *slog.Logger) error {
	now := time.Now
	kube, err := clusterConfig(c.Kubeconfig)
	if err != nil {
		return err
	}
	targets, err := target.New(kube)
	if err != nil {
		return err
	}
	uid, err := clusterUID(ctx, targets, log)
	if err != nil {
		return err
	}
	enrolment, memory, err := join(ctx, c, uid, log)
	if err != nil {
		return err
	}
	defer func() { _ = memory.Close() }()
	vital.joined(enrolment, memory)
	root, err := trusted.Open(memory, []byte(enrolment.TrustRoot), log, now)
	if err != nil {
		return err
	}
	receipts, err := bundle.NewSigner("", enrolment.ReceiptKey)
	if err != nil {
		return err
	}
	tracing, err := telemetry.Start(ctx, "writ-spoke", attribute.String("writ.cluster", enrolment.Cluster))
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = tracing.Shutdown(ctx)
	}()
	own, err := tokenrequest.New(kube) // of rehearsals, whoever issues the credentials of actions
	if err != nil {
		return err
	}
	issuer, err := issuerOf(c, own, enrolment)
	if err != nil {
		return err
	}
	box, prober, err := boxOf(c, kube, log)
	if err != nil {
		return err
	}
	if err := errors.Join(sweep(ctx, "credentials", issuer, log), sweep(ctx, "probes", prober, log)); err != nil {
		return err
	}
	policy := localpolicy.Open(c.LocalPolicy, log)
	audience := bundle.Audience{TrustDomain: enrolment.TrustDomain, Cluster: enrolment.Cluster, ClusterUID: uid}

	h := &handler{targets: targets, probes: prober != nil, policy: policy, trusted: root, identity: enrolment, epochs: &epoch.Keeper{Audience: audience, Root: root, Journal: memory, Log: log, Now: now},
		heads: &heads.Watch{Audience: audience, Root: root, Journal: memory, Log: log, Now: now}}
	h.heads.Heard = h.frozen
	taker, err := census.New(kube)
	if err != nil {
		return err
	}
	uplink := link.New(link.Parts{Facts: taker.Take, Address: enrolment.Hub.Connect, Credentials: identity.DialCredentials(enrolment.Source),
		Cluster: enrolment.Cluster, ClusterUID: uid, Version: &writv1.Version{Capability: capability.Current, Release: release.Version()},
		Journal: outbox{memory}, Leases: leases(memory, c.Credentials), Handler: h, Log: log})
	h.leased = uplink.Leased
	h.executor = executor.New(executor.Parts{DryRuns: dryRuns(own, kube), Audience: audience, Root: root, Journal: memory, Policy: policy, Issuer: issuer,
		Targets: effects{targets}, Uplink: uplink, Prober: prober, Cluster: rest.AnonymousClientConfig(kube), Receipts: receipts, Veil: veil(enrolment.ReceiptKey), Tracer: tracing, Meter: vital.meter, Log: log, Now: now})
	stage := stageOf(c, own, kube, box, root, audience, veil(enrolment.ReceiptKey), log)
	h.rehearse = rehearsal.New(rehearsal.Parts{Audience: audience, Root: root, Policy: policy, Stage: stage, Receipts: receipts, Log: log, Now: now})
	vital.linked(uplink)
	enrolment.Source.Watch(uplink.Trusts)
	watcher, err := signals.New(kube, reporter{uplink}, tracing, log, now)
	if err != nil {
		return err
	}

	group, ctx := errgroup.WithContext(ctx)
	ready := make(chan struct{})
	group.Go(func() error { return policy.Run(ctx) })
	group.Go(func() error { return h.executor.Run(ctx, func() { close(ready); vital.resumed.Store(true) }) })
	group.Go(func() error { enrolment.Keep(ctx); return nil })
	group.Go(func() error { return watcher.Run(ctx) })
	group.Go(func() error { return prune(ctx, memory, log) })
	group.Go(func() error { return settle(ctx, log) })
	group.Go(func() error {
		select {
		case <-ready: // what was under way comes before what is new
			return uplink.Run(ctx)
		case <-ctx.Done():
			return nil
		}
	})
	log.Info("spoke runs", "cluster", enrolment.Cluster, "hub", enrolment.Hub.Connect, "credentials", c.Credentials)
	return group.Wait()
}

const (
	// settleAfter is how long after its start a spoke has what it needs.
	settleAfter = 15 * time.Second
	// settleEvery is how often it lets go again of what it has not asked for since.
	settleEvery = time.Hour
)

// settle lets go of what only the start needed, and of what only an action needed now and then.
func settle(ctx context.Context, log *slog.Logger) error {
	for wait := settleAfter; ; wait = settleEvery {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		if err := shed(); err != nil {
			log.Info("pages of the program that nobody asks for are kept", "error", err)
		}
	}
}

// joinWithin is how long a hub that cannot be reached is tried before the pod ends, so that its last words say so.
const joinWithin = 2 * time.Minute

// join enrols where that has not happened, and opens the journal. A journal that was lost after it had begun is not begun
// again: that would let every old bundle in once more.
func join(ctx context.Context, c config, uid string, log *slog.Logger) (*enrol.Enrolment, *journal.Journal, error) {
	var file *enrol.Join
	if c.Join != "" {
		raw, err := os.ReadFile(c.Join)
		if err == nil {
			file, err = enrol.ParseJoin(raw)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
	}
	spoke := enrol.Spoke{Dir: c.dir("identity"), ClusterUID: uid, Release: release.Version(), AccountToken: c.accountToken, Patience: joinWithin, Log: log, Now: time.Now}
	if err := rejoin(ctx, c, spoke, file, log); err != nil {
		return nil, nil, err
	}
	enrolment, err := spoke.Start(ctx, file)
	if err != nil {
		return nil, nil, err
	}
	memory, err := journal.Open(c.dir("journal"), log)
	if err != nil {
		return nil, nil, err
	}
	if err := begin(memory, c.dir("journal.begun"), enrolment); err != nil {
		_ = memory.Close()
		return nil, nil, err
	}
	return enrolment, memory, nil
}

func begin(memory *journal.Journal, marker string, enrolment *enrol.Enrolment) error {
	_, err := memory.Head()
	if err == nil {
		return nil
	}
	if !errors.Is(err, journal.ErrUninitialised) {
		return err
	}
	if _, lost := os.Stat(marker); lost == nil {
		return fmt.Errorf("the journal was lost, and with it the memory of what was done: writ cluster rejoin makes a join file to begin anew with")
	}
	if err := memory.Init(journal.Head{Epoch: enrolment.Epoch}); err != nil {
		return err
	}
	return identity.WriteFile(marker, []byte("the journal of this spoke has begun; without it the spoke must enrol again\n"))
}

// clusterUID asks until the API server answers.
func clusterUID(ctx context.Context, targets *target.Reader, log *slog.Logger) (string, error) {
	for {
		uid, err := targets.ClusterUID(ctx)
		if err == nil {
			return uid, nil
		}
		log.WarnContext(ctx, "the API server does not say which cluster this is, will ask again", "error", err)
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
}

// accountToken reads the second factor, as the cluster keeps it now.
func (c config) accountToken() (string, error) {
	raw, err := os.ReadFile(c.AccountToken)
	if err != nil {
		return "", fmt.Errorf("the token of the spoke's ServiceAccount for the audience %s (accountToken): %w", identity.EnrolAudience, err)
	}
	return strings.TrimSpace(string(raw)), nil
}

func prune(ctx context.Context, memory *journal.Journal, log *slog.Logger) error {
	ticker := time.NewTicker(pruneEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-ticker.C:
			if err := memory.Prune(now, bundle.Skew); err != nil {
				log.WarnContext(ctx, "journal not pruned", "error", err)
			}
		}
	}
}

func clusterConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		return rest.InClusterConfig()
	}
	config, err := clientcmd.BuildConfigFromFlags("", filepath.Clean(kubeconfig))
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return config, nil
}
