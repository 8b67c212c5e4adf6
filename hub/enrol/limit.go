package enrol

import (
	"context"
	"hash/maphash"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"google.golang.org/grpc/peer"
)

const (
	buckets = 1024
	// For one name: who is asked for.
	perSecond = 1
	burst     = 10
	// For one source, which may be the one address behind which a whole fleet is seen.
	perSecondOfSource = 20
	burstOfSource     = 200
	// tellEvery is how often the log says how many attempts were too many.
	tellEvery = 10 * time.Second
)

// limits bounds attempts by source and by name in fixed memory: sources share buckets, as names do, known and unknown ones alike,
// under a hash that nobody outside can aim at.
type limits struct {
	seed    maphash.Seed
	sources *[buckets]*rate.Limiter
	names   *[buckets]*rate.Limiter
	tooMany *atomic.Uint64
	tell    *rate.Limiter
	log     *slog.Logger
}

func newLimits(log *slog.Logger) limits {
	l := limits{seed: maphash.MakeSeed(), sources: &[buckets]*rate.Limiter{}, names: &[buckets]*rate.Limiter{},
		tooMany: &atomic.Uint64{}, tell: rate.NewLimiter(rate.Every(tellEvery), 1), log: log}
	for i := range buckets {
		l.sources[i] = rate.NewLimiter(perSecondOfSource, burstOfSource)
		l.names[i] = rate.NewLimiter(perSecond, burst)
	}
	return l
}

// allow counts an attempt; the source comes first, so that one that asks too often uses up nobody's name.
func (l limits) allow(ctx context.Context, cluster string, now time.Time) *refusal {
	switch {
	case !l.sources[maphash.String(l.seed, source(ctx))%buckets].AllowN(now, 1):
		l.count(ctx, now)
		return refuse(TooManyAttempts, "too many attempts from this address: wait a few seconds")
	case !l.names[maphash.String(l.seed, cluster)%buckets].AllowN(now, 1):
		l.count(ctx, now)
		return refuse(TooManyAttempts, "too many attempts for this cluster: wait a few seconds")
	}
	return nil
}

// count keeps the log from growing with what a flood sends.
func (l limits) count(ctx context.Context, now time.Time) {
	l.tooMany.Add(1)
	if l.tell.AllowN(now, 1) {
		l.log.WarnContext(ctx, "refused", "reason", string(TooManyAttempts), "attempts", l.tooMany.Swap(0))
	}
}

// source is the network that a call came from: an IPv4 address, or the /64 that whoever has one IPv6 address has all of.
func source(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return ""
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return ""
	}
	address, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	if address = address.Unmap(); address.Is4() {
		return address.String()
	}
	prefix, _ := address.WithZone("").Prefix(64)
	return prefix.String()
}
