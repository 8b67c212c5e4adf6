package audit

import (
	"slices"
	"testing"
	"time"
)

// report adds percentiles to a benchmark.
func report(b *testing.B, took <-chan time.Duration) {
	var all []time.Duration
	for d := range took {
		all = append(all, d)
	}
	slices.Sort(all)
	for name, share := range map[string]float64{"p50-ms": 0.50, "p95-ms": 0.95, "p99-ms": 0.99} {
		b.ReportMetric(float64(all[int(share*float64(len(all)-1))].Microseconds())/1000, name)
	}
	b.ReportMetric(float64(len(all))/b.Elapsed().Seconds(), "entries/s")
}
