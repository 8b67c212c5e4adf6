package intake

import (
	"context"
	"encoding/json"
	"log/slog"
	"math"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/hub/gateway"
)

const (
	// presenceEvery is how often what changed is written to the Cluster objects.
	presenceEvery = time.Second
	// contactEvery is how often the last contact of a connected cluster, and the queue of each, is looked at, though nothing changed.
	contactEvery = time.Minute
	// movesEvery is how often it is written at most that a cluster's actions come and go, as long as nothing is frozen there: each writing
	// costs the hub's API server what a request costs it, and a busy fleet's Clusters would be written more often than its requests.
	movesEvery = 2 * time.Second
	// maxVersion bounds, in bytes, what a spoke calls the version of its cluster.
	maxVersion = 64
)

// Standing is what the hub's store says of a cluster, at a moment.
type Standing struct {
	At time.Time
	// Live is whether its spoke has an identity; Waits, whether one has proved itself and is to be accepted.
	Live, Waits bool
	// Manual and Pinned are what was registered: whether spokes wait to be accepted, and whether it says how they are told apart.
	Manual, Pinned bool
	TokenUntil     time.Time // when the token that was issued last and let in nobody ends; zero where it has
	Revoked        string    // why its identity has ended, if it has
	UID            string    // of the namespace kube-system
	Key            string    // the digest of its receipt key
	Epoch          uint64
	Queue          uint64 // bundles signed and not yet taken
	Sequence       uint64 // of the last bundle that its spoke has in its journal
	TrustRoot      int64  // the version that its spoke has; 0 where it has never said
}

// issued is what came of the last credential that an action of a cluster asked for.
type issued struct{ credential, refused string }

// Presence writes to the status of Cluster objects how they stand.
type Presence struct {
	client   client.Client
	asked    func(ctx context.Context, requestID string) (gateway.Request, bool, error)
	standing func(ctx context.Context, cluster string) (s Standing, known bool, err error)
	wake     chan struct{}
	log      *slog.Logger
	now      func() time.Time
	mu       sync.Mutex // guards seen
	seen     map[string]*sighting
}

type sighting struct {
	connected bool
	message   string // why it is not let in
	hello     *writv1.Hello
	expires   time.Time     // the SVID
	offset    time.Duration // the spoke's clock, ahead of the hub's
	contact   time.Time     // last; zero where it was refused from the start
	dirty     bool
	moved     bool           // its actions have come or gone, which may be written later
	looked    time.Time      // when it was last written, or found to be as it was
	queue     uint64         // as last written
	issued    *issued        // nil where nothing was seen to be
	leases    *writv1.Leases // as its spoke said last; nil before it did
}

// NewPresence makes a presence that writes with the intake's client. asked is gateway.Gateway's Asked.
func NewPresence(i *Intake, asked func(context.Context, string) (gateway.Request, bool, error), standing func(context.Context, string) (Standing, bool, error),
	log *slog.Logger, now func() time.Time) *Presence {
	return &Presence{client: i.client, asked: asked, standing: standing, wake: make(chan struct{}, 1), log: log, now: now, seen: map[string]*sighting{}}
}

// Connected implements link.Presence.
func (p *Presence) Connected(cluster string, hello *writv1.Hello, svidExpires time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	s := &sighting{connected: true, hello: hello, expires: svidExpires, contact: now, dirty: true}
	if hello.GetAt() != nil {
		s.offset = hello.GetAt().AsTime().Sub(now)
	}
	if before := p.seen[cluster]; before != nil {
		s.issued, s.leases = before.issued, before.leases
	}
	p.seen[cluster] = s
}

// Touch has a cluster looked at now: what the hub's store says of it is not what it was. It does not block.
func (p *Presence) Touch(cluster string) {
	p.mu.Lock()
	p.sighting(cluster).dirty = true
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Issued hears from a receipt whether its action had a credential; what of it is empty was not.
func (p *Presence) Issued(cluster, credential, refused string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sighting(cluster)
	news := refused != "" || s.issued == nil || s.issued.refused != ""
	s.issued, s.moved, s.dirty = &issued{credential, refused}, true, s.dirty || news
}

// Leased implements link.Presence.
func (p *Presence) Leased(cluster string, leases *writv1.Leases) {
	p.mu.Lock()
	s := p.sighting(cluster)
	news := s.leases == nil || len(s.leases.GetFreezes())+len(leases.GetFreezes()) > 0
	s.leases, s.moved, s.dirty = leases, true, s.dirty || news
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// sighting is what is known of a cluster. The caller holds the lock.
func (p *Presence) sighting(cluster string) *sighting {
	s := p.seen[cluster]
	if s == nil {
		s = &sighting{}
		p.seen[cluster] = s
	}
	return s
}

// Disconnected implements link.Presence.
func (p *Presence) Disconnected(cluster string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.seen[cluster]; s != nil {
		s.connected, s.contact, s.dirty = false, p.now(), true
	}
}

// Refused implements link.Presence.
func (p *Presence) Refused(cluster, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.sighting(cluster)
	if s.message != why && !s.connected { // it comes again and again
		s.message, s.dirty = why, true
	}
}

// Run writes until the context ends.
func (p *Presence) Run(ctx context.Context) error {
	ticker := time.NewTicker(presenceEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.wake:
		case <-ticker.C:
		}
		for cluster, s := range p.due() {
			err := p.write(ctx, cluster, s)
			switch {
			case err == nil || ctx.Err() != nil:
			case apierrors.IsNotFound(err):
				p.forget(cluster)
			default:
				p.log.WarnContext(ctx, "cluster status not written, will try again", "cluster", cluster, "error", err)
				p.update(cluster, func(s *sighting) { s.dirty = true })
			}
		}
	}
}

// due takes what is to be looked at.
func (p *Presence) due() map[string]sighting {
	p.mu.Lock()
	defer p.mu.Unlock()
	due, now := map[string]sighting{}, p.now()
	for cluster, s := range p.seen {
		if s.dirty || s.moved && now.Sub(s.looked) >= movesEvery || now.Sub(s.looked) > contactEvery {
			if s.connected {
				s.contact = now
			}
			due[cluster] = *s
			s.dirty, s.moved, s.looked = false, false, now
		}
	}
	return due
}

func (p *Presence) update(cluster string, change func(*sighting)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p.sighting(cluster))
}

// forget lets go of a cluster that was deleted, unless something was heard of it meanwhile.
func (p *Presence) forget(cluster string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.seen[cluster]; s != nil && !s.dirty && !s.connected {
		delete(p.seen, cluster)
	}
}

// write writes how a cluster stands, unless nothing has changed.
func (p *Presence) write(ctx context.Context, cluster string, s sighting) error {
	standing, ok, err := p.standing(ctx, cluster)
	if err != nil || !ok {
		return err
	}
	object := &v1alpha1.Cluster{}
	if err := p.client.Get(ctx, client.ObjectKey{Name: cluster}, object); err != nil {
		return err
	}
	conditions, changed := merge(object.Status.Conditions, conditionsOf(cluster, s, standing), object.Generation)
	if !s.dirty && !s.moved && !s.connected && !changed && standing.Queue == s.queue {
		return nil
	}
	status := statusOfCluster(s, standing)
	if s.leases != nil {
		if err := p.live(ctx, cluster, s.leases, status); err != nil {
			return err
		}
	}
	status["conditions"] = conditions
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": object.UID}, "status": status})
	if err != nil {
		return err
	}
	if err := p.client.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return err
	}
	p.update(cluster, func(s *sighting) { s.queue = standing.Queue })
	return nil
}

// statusOfCluster leaves out what is not known, so that it stays as it was.
func statusOfCluster(s sighting, standing Standing) map[string]any {
	status := map[string]any{"phase": v1alpha1.ClusterPending, "connected": false, "message": "", "epoch": standing.Epoch, "queue": standing.Queue}
	if standing.Key != "" {
		status["clusterUID"], status["receiptKey"] = standing.UID, standing.Key
	}
	switch {
	case standing.Revoked != "":
		status["phase"], status["message"], status["queue"] = v1alpha1.ClusterRevoked, "revoked: "+standing.Revoked, 0
		return status
	case standing.Waits:
		status["message"] = "its spoke waits to be accepted: writ cluster accept"
		return status
	case !standing.Live:
		return status
	}
	status["phase"], status["connected"], status["message"] = v1alpha1.ClusterJoined, s.connected, s.message
	status["sequenceAcknowledged"] = standing.Sequence
	if standing.TrustRoot > 0 {
		status["trustRootVersion"] = standing.TrustRoot
	}
	if s.hello != nil {
		status["spokeVersion"], status["capability"] = s.hello.GetVersion().GetRelease(), s.hello.GetVersion().GetCapability()
		status["svidExpires"], status["lastContact"] = metav1.NewTime(s.expires), metav1.NewTime(s.contact)
		status["clockOffsetSeconds"] = int64(s.offset.Round(time.Second).Seconds())
		factsOf(s.hello.GetFacts(), status)
	}
	return status
}

// factsOf shows people what a spoke says of its cluster: nothing is judged by it.
func factsOf(f *writv1.ClusterFacts, status map[string]any) {
	if f == nil {
		return
	}
	status["kubernetesVersion"] = word(f.GetKubernetesVersion(), maxVersion)
	status["nodes"] = min(f.GetNodes(), math.MaxInt32)
	status["capacity"] = map[string]any{
		"cpu":    resource.NewMilliQuantity(int64(min(f.GetCpuMillis(), math.MaxInt64)), resource.DecimalSI).String(),
		"memory": resource.NewQuantity(int64(min(f.GetMemoryBytes(), math.MaxInt64)), resource.BinarySI).String(),
		"pods":   resource.NewQuantity(int64(min(f.GetPods(), math.MaxInt64)), resource.DecimalSI).String(),
	}
}
