package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/hub/audit"
	"github.com/writ-dev/writ/hub/enrol"
	"github.com/writ-dev/writ/hub/gateway"
	"github.com/writ-dev/writ/hub/intake"
	"github.com/writ-dev/writ/hub/metrics"
	"github.com/writ-dev/writ/hub/store/badgerstore"
	"github.com/writ-dev/writ/internal/health"
	"github.com/writ-dev/writ/internal/identity"
)

// check says what it means that this hub is alive, and ready.
func (h *hub) check(checks *health.Server, records *badgerstore.Store, gw *gateway.Gateway, front *intake.Intake) {
	checks.Alive("store", records.Alive)
	checks.Alive("gateway", gw.Alive)
	checks.Ready("store", records.Alive)
	checks.Ready("caches", front.Ready)
	checks.Ready("listeners", func(context.Context) error {
		if opened, serving := h.opened.Load(), h.serving.Load(); serving < opened {
			return fmt.Errorf("%d of %d ports are served", serving, opened)
		}
		return nil
	})
}

// fleet tells the metrics how the fleet stands.
type fleet struct {
	enrolment *enrol.Service
	spokes    *lateInspector
	gateway   *gateway.Gateway
	trail     *audit.Log
	source    *identity.Source
	ca        *identity.CA
	root      trust.Source
}

// Clusters implements metrics.Fleet.
func (f fleet) Clusters(ctx context.Context) ([]metrics.Cluster, error) {
	live, err := f.enrolment.List(ctx)
	if err != nil {
		return nil, err
	}
	connected := f.spokes.Connected()
	slices.Sort(connected)
	clusters := make([]metrics.Cluster, 0, len(live))
	for _, c := range live {
		queue, err := f.gateway.Queued(ctx, c.Name, c.Epoch)
		if err != nil {
			return nil, err
		}
		_, there := slices.BinarySearch(connected, c.Name)
		clusters = append(clusters, metrics.Cluster{Name: c.Name, Connected: there, Queue: queue})
	}
	return clusters, nil
}

// Open implements metrics.Fleet.
func (f fleet) Open(ctx context.Context) (int, error) { return f.gateway.Open(ctx) }

// AuditEntries implements metrics.Fleet.
func (f fleet) AuditEntries(ctx context.Context) (uint64, error) { return f.trail.Size(ctx) }

// Expiries implements metrics.Fleet.
func (f fleet) Expiries() map[string]time.Time {
	expiries := map[string]time.Time{"ca": f.ca.Expires(), "trustRoot": f.root.Present().Expires()}
	if svid := f.source.SVID(); svid != nil {
		expiries["svid"] = svid.Leaf().NotAfter
	}
	return expiries
}
