package auditlog_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/auditlog/auditlogtest"
	"github.com/writ-dev/writ/api/bundle"
)

// BenchmarkVerify checks a log of 1,000 actions, each with intent, receipt and outcome.
func BenchmarkVerify(b *testing.B) {
	w, spoke := auditlogtest.NewWriter(b), auditlogtest.NewSpoke(b, "east")
	entries := []auditlog.Entry{spoke.Enrolment()}
	for i := range 1000 {
		order, id := fmt.Sprint("order-", i), fmt.Sprint("bundle-", i)
		entries = append(entries, spoke.Intent(order), spoke.Receipt(order, id, bundle.Applied), spoke.Outcome(order, id))
	}
	folder := w.Write(entries)
	for b.Loop() {
		r, err := auditlog.VerifyFolder(b.Context(), folder, w.Verifier, nil, auditlogtest.After)
		require.NoError(b, err)
		require.Empty(b, r.Findings)
	}
	b.ReportMetric(float64(len(entries)*b.N)/b.Elapsed().Seconds(), "entries/s")
}
