package badgerstore_test

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/hub/store/badgerstore"
)

// BenchmarkCommit is one durable commit of a record of 2 KiB, by as many writers at once. Writers share syncs: commits a
// second grow with their number.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, err := badgerstore.Open(b.TempDir(), slog.New(slog.DiscardHandler))
			require.NoError(b, err)
			defer s.Close()
			value := make([]byte, 2<<10)
			var next atomic.Int64
			var wait sync.WaitGroup
			b.ResetTimer()
			for w := range writers {
				wait.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						if err := s.Commit(b.Context(), store.Put(fmt.Sprintf("record/%d/%d", w, n%1000), value)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wait.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
		})
	}
}
