package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// scrapeWithin bounds what a scrape may ask of the store and the disk.
const scrapeWithin = 5 * time.Second

// Cluster is how one stands.
type Cluster struct {
	Name      string
	Connected bool
	Queue     uint64 // bundles signed and not yet taken
}

// Fleet is asked at each scrape.
type Fleet interface {
	// Clusters lists those that have enrolled.
	Clusters(ctx context.Context) ([]Cluster, error)
	// Open is how many requests are under way.
	Open(ctx context.Context) (int, error)
	// AuditEntries is how many entries the audit log holds.
	AuditEntries(ctx context.Context) (uint64, error)
	// Expiries says when what must be renewed ends, by what it is: svid, ca, trustRoot.
	Expiries() map[string]time.Time
}

var (
	connected = prometheus.NewDesc("writ_hub_cluster_connected", "Whether the spoke of an enrolled cluster is connected.", []string{"cluster"}, nil)
	queued    = prometheus.NewDesc("writ_hub_queue_length", "Bundles signed for a cluster and not yet taken by its spoke.", []string{"cluster"}, nil)
	spokes    = prometheus.NewDesc("writ_hub_spokes_connected", "Spokes that are connected.", nil, nil)
	open      = prometheus.NewDesc("writ_hub_requests_open", "Requests under way.", nil, nil)
	entries   = prometheus.NewDesc("writ_hub_audit_entries", "Entries on the audit log.", nil, nil)
	expiry    = prometheus.NewDesc("writ_hub_expiry_timestamp_seconds", "When the hub's SVID, its CA and the trust root end.", []string{"of"}, nil)
)

// collector asks a fleet.
type collector struct{ fleet Fleet }

// Watch adds how a fleet stands to a registry.
func Watch(registry prometheus.Registerer, fleet Fleet) { registry.MustRegister(collector{fleet}) }

// Describe implements prometheus.Collector.
func (collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{connected, queued, spokes, open, entries, expiry} {
		to <- d
	}
}

// Collect implements prometheus.Collector. What cannot be read now is reported as an error in its place.
func (c collector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	gauge := func(d *prometheus.Desc, value float64, err error, labels ...string) {
		if err != nil {
			to <- prometheus.NewInvalidMetric(d, err)
			return
		}
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	clusters, err := c.fleet.Clusters(ctx)
	if err != nil {
		gauge(spokes, 0, err)
	} else {
		gauge(spokes, collectClusters(clusters, gauge), nil)
	}
	n, err := c.fleet.Open(ctx)
	gauge(open, float64(n), err)
	size, err := c.fleet.AuditEntries(ctx)
	gauge(entries, float64(size), err)
	for of, at := range c.fleet.Expiries() {
		gauge(expiry, float64(at.Unix()), nil, of)
	}
}

func collectClusters(clusters []Cluster, gauge func(*prometheus.Desc, float64, error, ...string)) (count float64) {
	for _, cluster := range clusters {
		there := 0.0
		if cluster.Connected {
			there = 1
		}
		count += there
		gauge(connected, there, nil, cluster.Name)
		gauge(queued, float64(cluster.Queue), nil, cluster.Name)
	}
	return count
}
