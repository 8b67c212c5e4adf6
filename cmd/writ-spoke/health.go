package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/writ-dev/writ/api/capability"
	"github.com/writ-dev/writ/internal/health"
	"github.com/writ-dev/writ/internal/release"
	"github.com/writ-dev/writ/internal/telemetry"
	"github.com/writ-dev/writ/spoke/enrol"
	"github.com/writ-dev/writ/spoke/journal"
	"github.com/writ-dev/writ/spoke/link"
	"github.com/writ-dev/writ/spoke/metrics"
)

// heardWithin is how long ago the hub was last heard at most, for the spoke to be ready: a few heartbeats.
const heardWithin = time.Minute

// vitals is what the spoke's health is told from. Its parts come as the spoke is made.
type vitals struct {
	checks   *health.Server
	registry *prometheus.Registry
	meter    *metrics.Meter
	now      func() time.Time

	enrolment atomic.Pointer[enrol.Enrolment]
	journal   atomic.Pointer[journal.Journal]
	link      atomic.Pointer[link.Link]
	resumed   atomic.Bool
}

func newVitals(now func() time.Time) *vitals {
	registry := telemetry.NewRegistry(release.Version(), prometheus.Labels{"capability": fmt.Sprint(capability.Current)})
	telemetry.Process(registry)
	v := &vitals{checks: health.New(telemetry.Handler(registry)), registry: registry, meter: metrics.NewMeter(registry), now: now}
	v.checks.Alive("journal", v.alive)
	v.checks.Ready("enrolled", v.enrolled)
	v.checks.Ready("journal", v.taken)
	v.checks.Ready("hub", v.heard)
	v.checks.Open()
	return v
}

func (v *vitals) joined(enrolment *enrol.Enrolment, memory *journal.Journal) {
	v.enrolment.Store(enrolment)
	v.journal.Store(memory)
}

func (v *vitals) linked(uplink *link.Link) {
	v.link.Store(uplink)
	metrics.Watch(v.registry, standing{v.journal.Load(), uplink, v.enrolment.Load()})
}

// alive is an error where the journal was opened and answers no more: it has to be opened again.
func (v *vitals) alive(context.Context) error {
	memory := v.journal.Load()
	if memory == nil {
		return nil
	}
	_, err := memory.Head()
	return err
}

func (v *vitals) enrolled(context.Context) error {
	enrolment := v.enrolment.Load()
	if enrolment == nil {
		return errors.New("this cluster has not enrolled: see the log for what the hub and the API server say")
	}
	if ends := enrolment.Source.SVID().Leaf().NotAfter; v.now().After(ends) {
		return fmt.Errorf("the SVID ended at %s and the hub has not renewed it", ends.UTC().Format(time.RFC3339))
	}
	return nil
}

// taken is an error until what was under way at the last stop is taken up again.
func (v *vitals) taken(ctx context.Context) error {
	if v.journal.Load() == nil {
		return errors.New("the journal is not open")
	}
	if !v.resumed.Load() {
		return errors.New("what was under way at the last stop is being taken up")
	}
	return v.alive(ctx)
}

func (v *vitals) heard(context.Context) error {
	if uplink := v.link.Load(); uplink != nil {
		return fresh(uplink.Heard(), v.now())
	}
	return fresh(time.Time{}, v.now())
}

func fresh(heard, now time.Time) error {
	switch {
	case heard.IsZero():
		return errors.New("the hub was not heard since the start")
	case now.Sub(heard) > heardWithin:
		return fmt.Errorf("the hub was last heard at %s, more than %s ago", heard.UTC().Format(time.RFC3339), heardWithin)
	}
	return nil
}

// standing tells the metrics how the spoke stands.
type standing struct {
	*journal.Journal
	uplink    *link.Link
	enrolment *enrol.Enrolment
}

// Sequence implements metrics.Spoke.
func (s standing) Sequence() (uint64, error) {
	head, err := s.Head()
	return head.Sequence, err
}

// Heard implements metrics.Spoke.
func (s standing) Heard() time.Time { return s.uplink.Heard() }

// Waiting implements metrics.Spoke.
func (s standing) Waiting() int { return s.uplink.Waiting() }

// Expires implements metrics.Spoke.
func (s standing) Expires() time.Time { return s.enrolment.Source.SVID().Leaf().NotAfter }
