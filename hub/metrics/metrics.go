// Package metrics counts what the hub does, and tells Prometheus how the fleet stands.
//
// It promises few series: a cluster's name is a label of gauges only, and no request, person or object ever is one. Whatever
// people or clusters wrote is counted under a closed set of words. There is no secret in it.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// other stands for every word that is not of a closed set.
const other = "other"

// buckets are seconds, from a step that only computes to one that waits for people.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600}

// Meter counts. It is safe for concurrent use and never blocks.
type Meter struct {
	actions map[string]bool
	steps   *prometheus.HistogramVec
	closed  *prometheus.CounterVec
	ended   *prometheus.CounterVec
}

// NewMeter makes a meter; actions are the names that the catalogue knows.
func NewMeter(registry prometheus.Registerer, actions []string) *Meter {
	m := &Meter{
		actions: map[string]bool{},
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "writ_hub_step_duration_seconds", Buckets: buckets,
			Help: "How long requests stood at a step of their life, waiting included, by the step and how it ended."}, []string{"step", "result"}),
		closed: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "writ_hub_requests_total",
			Help: "Requests that were closed, by action, last phase and, where they were refused or failed, the reason."},
			[]string{"action", "phase", "reason"}),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "writ_hub_rollouts_total",
			Help: "Rollouts that ended, by their last phase."}, []string{"phase"}),
	}
	for _, action := range actions {
		m.actions[action] = true
	}
	registry.MustRegister(m.steps, m.closed, m.ended)
	return m
}

// Step implements gateway.Meter.
func (m *Meter) Step(step, result string, took time.Duration) {
	m.steps.WithLabelValues(step, result).Observe(took.Seconds())
}

// RolloutEnded implements rollout.Meter.
func (m *Meter) RolloutEnded(phase string) { m.ended.WithLabelValues(phase).Inc() }

// Closed implements gateway.Meter.
func (m *Meter) Closed(action, phase, reason string) {
	if !m.actions[action] {
		action = other
	}
	m.closed.WithLabelValues(action, phase, reason).Inc()
}
