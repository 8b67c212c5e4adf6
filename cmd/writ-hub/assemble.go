package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/capability"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/hub/audit"
	"github.com/writ-dev/writ/hub/backup"
	"github.com/writ-dev/writ/hub/enrol"
	"github.com/writ-dev/writ/hub/gateway"
	"github.com/writ-dev/writ/hub/intake"
	"github.com/writ-dev/writ/hub/link"
	"github.com/writ-dev/writ/hub/metrics"
	"github.com/writ-dev/writ/hub/notify"
	"github.com/writ-dev/writ/hub/operators"
	"github.com/writ-dev/writ/hub/rollout"
	"github.com/writ-dev/writ/hub/rotation"
	"github.com/writ-dev/writ/hub/signals"
	"github.com/writ-dev/writ/hub/store/badgerstore"
	"github.com/writ-dev/writ/internal/health"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/release"
	"github.com/writ-dev/writ/internal/telemetry"
)

// hub is everything that runs, and everything that is closed at the end.
type hub struct {
	tasks  []func(context.Context) error
	closed []func(context.Context) error // in reverse

	opened, serving atomic.Int32 // listeners
}

func (h *hub) task(run func(context.Context) error)        { h.tasks = append(h.tasks, run) }
func (h *hub) onClose(closeIt func(context.Context) error) { h.closed = append(h.closed, closeIt) }

// run runs all tasks until the first fails or the context ends.
func (h *hub) run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, task := range h.tasks {
		group.Go(func() error { return task(ctx) })
	}
	return group.Wait()
}

// close closes what is open, last opened first.
func (h *hub) close(log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	for i := len(h.closed) - 1; i >= 0; i-- {
		if err := h.closed[i](ctx); err != nil {
			log.Warn("closing", "error", err)
		}
	}
}

// assemble makes the hub by hand, in order. What it opened is closed again where a later part fails.
func assemble(ctx context.Context, c config, checks *health.Server, registry prometheus.Registerer, log *slog.Logger) (h *hub, err error) {
	h = &hub{}
	opened := h // a later part that fails returns nil
	defer func() {
		if err != nil {
			opened.close(log)
		}
	}()
	now := time.Now
	td, err := spiffeid.TrustDomainFromString(c.TrustDomain)
	if err != nil {
		return nil, fmt.Errorf("trust domain: %w", err)
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, err
	}
	if err := backup.Whole(c.DataDir); err != nil {
		return nil, err
	}
	kube, err := clusterConfig(c.Kubeconfig)
	if err != nil {
		return nil, err
	}
	if err := intake.Defined(kube); err != nil {
		return nil, err
	}
	if err := intake.Fenced(ctx, kube); err != nil {
		return nil, err
	}
	rootJSON, err := os.ReadFile(c.TrustRoot)
	if err != nil {
		return nil, fmt.Errorf("trust root: %w", err)
	}
	tracing, err := telemetry.Start(ctx, "writ-hub")
	if err != nil {
		return nil, err
	}
	h.onClose(tracing.Shutdown)

	records, err := badgerstore.Open(c.dir("store"), log)
	if err != nil {
		return nil, err
	}
	h.onClose(func(context.Context) error { return records.Close() })
	h.task(records.Run)
	key, err := audit.LoadKey(c.dir("audit.key"), auditlog.Origin(c.TrustDomain))
	if err != nil {
		return nil, err
	}
	if err := key.Publish(c.dir("audit.vkey")); err != nil {
		return nil, err
	}
	trail, err := audit.Open(ctx, c.dir("audit"), key, log)
	if err != nil {
		return nil, err
	}
	h.onClose(trail.Close)

	ca, err := c.openCA(ctx, td, now())
	if err != nil {
		return nil, err
	}
	source, renewHub, err := c.hubIdentity(ctx, ca, log)
	if err != nil {
		return nil, err
	}
	h.task(func(ctx context.Context) error {
		identity.Keep(ctx, source, renewHub, func(*identity.SVID, *identity.Authorities) error { return nil }, nil, now, log)
		return nil
	})
	enrolment := enrol.New(enrol.Parts{Store: records, CA: ca, TrustDomain: td, Life: c.SVIDLife.Duration, Recorder: recorder{trail}, Log: log, Now: now})

	projector, undoer, policies, templates := intake.NewProjector(decisions{records}, log), intake.NewUndoer(), intake.NewPolicies(log), intake.NewTemplates(log)
	spokes := &lateInspector{}
	keys, err := c.gatewayKeys(source)
	if err != nil {
		return nil, err
	}
	turning, err := rotation.Open(ctx, rotation.Parts{Store: records, Fleet: followers{enrolment, spokes}, Keys: keys, CA: ca, Source: source, Renew: renewHub,
		Record: recorder{trail}.record, Log: log, Now: now}, rootJSON)
	if err != nil {
		return nil, err
	}
	clusters := clusters{enrolment, td, source}
	meter := metrics.NewMeter(registry, slices.Collect(maps.Keys(catalogue.Actions())))
	hooks, err := c.Approvals.load()
	if err != nil {
		return nil, fmt.Errorf("approvals: %w", err)
	}
	gw := gateway.New(gateway.Parts{Store: records, Clusters: clusters, Inspector: spokes, Rehearser: spokes, Policies: policies, Templates: templates, Audit: trail,
		Projector: projector, Undoer: undoer, Announcer: spokes, Meter: meter, Signers: turning, Root: turning, Limits: c.Limits.orDefault(),
		Groups: c.Approvals.groups(), Notifier: notifier{hooks, c.Approvals.groups(), records}, Tracer: tracing, Log: log, Now: now})
	inbox := signals.New(records, signals.DefaultLimits, log, now)
	front, err := intake.New(kube, gw, enrolment, projector, undoer, intake.Declared{Policies: policies, Templates: templates}, log)
	if err != nil {
		return nil, err
	}
	enrolment.Refresh = front.Refresh
	if err := rollout.Watch(front.Manager(), rollout.Parts{Gateway: gw, Meter: meter, Tracer: tracing, Log: log, Now: now}); err != nil {
		return nil, err
	}
	operating := operators.New(operators.Parts{Store: records, CA: ca, TrustDomain: td, Client: front.Manager().GetClient(), Log: log, Now: now})
	if err := operating.Watch(front.Manager()); err != nil {
		return nil, err
	}
	presence := intake.NewPresence(front, gw.Asked, standings{enrolment, gw, turning, now}.of, log, now)
	projector.Presence, enrolment.Changed, turning.Followed = presence, presence.Touch, presence.Touch
	spokes.Link = link.New(link.Parts{Clusters: clusters, Renewer: enrolment, Queue: gw, Heads: gw, Deliveries: gw, Answers: gw, Rehearsals: gw,
		Signals: inbox, Presence: presence, Trust: turning, Operators: operating, Operations: turning.Server(), Log: log, Now: now})
	enrolment.Ended = spokes.End

	h.task(projector.Run)
	h.task(front.Run)
	h.task(presence.Run)
	h.task(gw.Run)
	h.task(notify.New(records, hooks, log, now).Run)
	if err := reason(h, c, kube, inbox, records, tracing, log); err != nil {
		return nil, err
	}
	watched := fleet{enrolment: enrolment, spokes: spokes, gateway: gw, trail: trail, source: source, ca: ca, root: turning}
	metrics.Watch(registry, watched)
	h.check(checks, records, gw, front)
	if err := h.openDoor(ctx, c, backup.Hub{Dir: c.DataDir, Records: records, Trail: trail},
		resets{root: turning, enrolment: enrolment, gateway: gw}, turning, log); err != nil {
		return nil, err
	}
	if err := h.listen(c.Listen.Enrol, enrol.NewServer(enrolment, source)); err != nil {
		return nil, err
	}
	if err := h.listen(c.Listen.Connect, link.NewServer(spokes.Link, source, td)); err != nil {
		return nil, err
	}
	admissionPEM, err := h.admit(c, log)
	if err != nil {
		return nil, err
	}
	turning.Advertise = func(ctx context.Context) error {
		return intake.Publish(ctx, kube, intake.Joining{Enrol: c.Advertise.Enrol, Connect: c.Advertise.Connect, TrustDomain: c.TrustDomain,
			Authorities: ca.Authorities().PEM(), TrustRoot: turning.Present().Bytes(), AuditKey: key.Public,
			Admission: c.Advertise.Admission, AdmissionPEM: admissionPEM,
			Release: release.Version(), Capability: capability.Current})
	}
	h.task(turning.Run)
	return h, turning.Advertise(ctx)
}

// listen opens a port now, so that a taken one fails at the start, and serves it with the other tasks.
func (h *hub) listen(address string, server *grpc.Server) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", address, err)
	}
	h.opened.Add(1)
	h.task(func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, server.Stop)
		defer stop()
		h.serving.Add(1)
		defer h.serving.Add(-1)
		if err := server.Serve(listener); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			return err
		}
		return nil
	})
	return nil
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

func (l limits) orDefault() gateway.Limits {
	out := gateway.DefaultLimits
	if l.QueuePerCluster > 0 {
		out.QueuePerCluster = l.QueuePerCluster
	}
	if l.PerMinute > 0 {
		out.PerMinute = l.PerMinute
	}
	if l.RelaxedFor.Duration > 0 {
		out.RelaxedFor = l.RelaxedFor.Duration
	}
	if l.NodesOutPercent > 0 {
		out.NodesOutPercent = l.NodesOutPercent
	}
	return out
}
