package intake

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	writv1 "github.com/writ-dev/writ/api/writv1"
)

const (
	// presenceEvery is how often what changed is written to the Cluster objects.
	presenceEvery = time.Second
	// contactEvery is how often the last contact of a connected cluster is written, though nothing changed.
	contactEvery = time.Minute
)

// Presence writes to the status of Cluster objects who is connected.
type Presence struct {
	client   client.Client
	enrolled func(ctx context.Context, cluster string) (uid string, ok bool, err error)
	log      *slog.Logger
	now      func() time.Time
	mu       sync.Mutex // guards seen
	seen     map[string]*sighting
}

type sighting struct {
	connected bool
	release   string
	dirty     bool
	written   time.Time
}

// NewPresence makes a presence that writes with the intake's client.
func NewPresence(i *Intake, enrolled func(context.Context, string) (string, bool, error), log *slog.Logger, now func() time.Time) *Presence {
	return &Presence{client: i.client, enrolled: enrolled, log: log, now: now, seen: map[string]*sighting{}}
}

// Connected implements link.Presence.
func (p *Presence) Connected(cluster string, hello *writv1.Hello) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[cluster] = &sighting{connected: true, release: hello.GetVersion().GetRelease(), dirty: true}
}

// Disconnected implements link.Presence.
func (p *Presence) Disconnected(cluster string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.seen[cluster]; s != nil {
		s.connected, s.dirty = false, true
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
		case <-ticker.C:
		}
		for cluster, s := range p.due() {
			if err := p.write(ctx, cluster, s); err != nil && client.IgnoreNotFound(err) != nil && ctx.Err() == nil {
				p.log.WarnContext(ctx, "cluster status not written, will try again", "cluster", cluster, "error", err)
				p.again(cluster)
			}
		}
	}
}

// due takes what is to be written.
func (p *Presence) due() map[string]sighting {
	p.mu.Lock()
	defer p.mu.Unlock()
	due, now := map[string]sighting{}, p.now()
	for cluster, s := range p.seen {
		if s.dirty || s.connected && now.Sub(s.written) > contactEvery {
			due[cluster] = *s
			s.dirty, s.written = false, now
		}
	}
	return due
}

func (p *Presence) again(cluster string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[cluster].dirty = true
}

func (p *Presence) write(ctx context.Context, cluster string, s sighting) error {
	uid, ok, err := p.enrolled(ctx, cluster)
	if err != nil || !ok {
		return err
	}
	at := metav1.NewTime(p.now())
	status := map[string]any{"phase": "Joined", "connected": s.connected, "clusterUID": uid, "spokeVersion": s.release, "lastContact": at}
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return err
	}
	object := &v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: cluster}}
	return p.client.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))
}
