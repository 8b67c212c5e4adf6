package enrol

import (
	"hash/maphash"
	"time"

	"golang.org/x/time/rate"
)

const (
	buckets   = 1024
	perSecond = 1
	burst     = 10
)

// limits bounds attempts per cluster in fixed memory: names share buckets, known and unknown ones alike, under a hash that
// nobody outside can aim at.
type limits struct {
	seed maphash.Seed
	of   *[buckets]*rate.Limiter
}

func newLimits() limits {
	l := limits{seed: maphash.MakeSeed(), of: &[buckets]*rate.Limiter{}}
	for i := range l.of {
		l.of[i] = rate.NewLimiter(perSecond, burst)
	}
	return l
}

func (l limits) allow(cluster string, now time.Time) bool {
	return l.of[maphash.String(l.seed, cluster)%buckets].AllowN(now, 1)
}
