// Package metrics counts what a spoke does, and tells Prometheus how it stands.
//
// It promises few series: every label is of a closed set, and no object, person or request is one. There is no secret in it.
package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// buckets are seconds, from a step that only computes to an action's longest deadline.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300}

// Meter counts. It is safe for concurrent use and never blocks.
type Meter struct {
	steps    *prometheus.HistogramVec
	actions  *prometheus.CounterVec
	rejected *prometheus.CounterVec
}

// NewMeter makes a meter.
func NewMeter(registry prometheus.Registerer) *Meter {
	m := &Meter{
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "writ_spoke_step_duration_seconds", Buckets: buckets,
			Help: "How long a step of an action took, tries included; the step credential is how long issuing one took."}, []string{"step", "result"}),
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "writ_spoke_actions_total",
			Help: "Receipts signed, by action, result and, where nothing was done, the reason."}, []string{"action", "result", "reason"}),
		rejected: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "writ_spoke_bundles_rejected_total",
			Help: "Bundles that were not taken, by reason."}, []string{"reason"}),
	}
	registry.MustRegister(m.steps, m.actions, m.rejected)
	return m
}

// Step implements executor.Meter.
func (m *Meter) Step(step string, refused bool, took time.Duration) {
	result := "passed"
	if refused {
		result = "refused"
	}
	m.steps.WithLabelValues(step, result).Observe(took.Seconds())
}

// Done implements executor.Meter.
func (m *Meter) Done(action, result, reason string) {
	m.actions.WithLabelValues(action, result, reason).Inc()
}

// Rejected implements executor.Meter.
func (m *Meter) Rejected(reason string) { m.rejected.WithLabelValues(reason).Inc() }
