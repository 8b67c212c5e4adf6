package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Spoke is asked at each scrape.
type Spoke interface {
	// Undelivered is how many receipts and outcomes the hub has not acknowledged.
	Undelivered() (receipts, outcomes int, err error)
	// Sequence is the last bundle taken.
	Sequence() (uint64, error)
	// Heard is when the hub was last heard; zero where it was not.
	Heard() time.Time
	// Waiting is how many signals the hub has not acknowledged.
	Waiting() int
	// Expires is when the SVID ends.
	Expires() time.Time
}

var (
	undelivered = prometheus.NewDesc("writ_spoke_journal_undelivered", "Receipts and outcomes that the hub has not acknowledged.", []string{"kind"}, nil)
	sequence    = prometheus.NewDesc("writ_spoke_journal_sequence", "The sequence of the last bundle taken.", nil, nil)
	heard       = prometheus.NewDesc("writ_spoke_hub_heard_timestamp_seconds", "When the hub was last heard; 0 where it was not.", nil, nil)
	waiting     = prometheus.NewDesc("writ_spoke_signals_waiting", "Signals that the hub has not acknowledged.", nil, nil)
	expiry      = prometheus.NewDesc("writ_spoke_svid_expiry_timestamp_seconds", "When the SVID ends.", nil, nil)
)

type collector struct{ spoke Spoke }

// Watch adds how a spoke stands to a registry.
func Watch(registry prometheus.Registerer, spoke Spoke) { registry.MustRegister(collector{spoke}) }

// Describe implements prometheus.Collector.
func (collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{undelivered, sequence, heard, waiting, expiry} {
		to <- d
	}
}

// Collect implements prometheus.Collector. What cannot be read now is reported as an error in its place.
func (c collector) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, err error, labels ...string) {
		if err != nil {
			to <- prometheus.NewInvalidMetric(d, err)
			return
		}
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	receipts, outcomes, err := c.spoke.Undelivered()
	gauge(undelivered, float64(receipts), err, "receipt")
	gauge(undelivered, float64(outcomes), err, "outcome")
	last, err := c.spoke.Sequence()
	gauge(sequence, float64(last), err)
	at := 0.0
	if t := c.spoke.Heard(); !t.IsZero() {
		at = float64(t.Unix())
	}
	gauge(heard, at, nil)
	gauge(waiting, float64(c.spoke.Waiting()), nil)
	gauge(expiry, float64(c.spoke.Expires().Unix()), nil)
}
