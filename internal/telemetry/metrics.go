package telemetry

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// scrapeWithin bounds one scrape; scrapes is how many are answered at once.
const (
	scrapeWithin = 10 * time.Second
	scrapes      = 4
)

// NewRegistry makes a registry that tells which release runs; labels say more of it.
func NewRegistry(release string, labels prometheus.Labels) *prometheus.Registry {
	registry := prometheus.NewRegistry()
	build := prometheus.Labels{"version": release}
	for name, value := range labels {
		build[name] = value
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "writ_build_info", Help: "Which release runs, and its capability.", ConstLabels: build})
	info.Set(1)
	registry.MustRegister(info)
	return registry
}

// Process adds what every Go process has to tell: memory, CPU, garbage collection.
func Process(registry prometheus.Registerer) {
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// Handler serves metrics in Prometheus' formats. A collector that fails is left out; the others are served.
func Handler(metrics prometheus.Gatherer) http.Handler {
	return promhttp.HandlerFor(metrics, promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: scrapes, Timeout: scrapeWithin})
}
