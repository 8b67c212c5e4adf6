package bench

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/writ-dev/writ/api/capability"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/e2e/fleet/fleettest"
	"github.com/writ-dev/writ/hub/enrol/enroltest"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/spoke/enrol"
	"github.com/writ-dev/writ/spoke/link"
)

// heartbeats is how many heads each spoke gets before memory is read: a connection that was never used flatters.
const heartbeats = 3

// BenchmarkIdle reads what doing nothing costs: the memory of a spoke, and of the hub for each spoke that is connected to it.
// The hub's spokes are real ones up to where their cluster begins: they enrol, hold their connection, and answer heartbeats.
func BenchmarkIdle(b *testing.B) {
	b.Run("spoke", func(b *testing.B) {
		f := start(b, fleet.Options{Clusters: []string{"east"}})
		select {
		case <-time.After(time.Minute):
		case <-b.Context().Done():
		}
		b.ReportMetric(resident(b, f.Process("writ-spoke-east").PID()), "MB")
		b.ReportMetric(0, "ns/op")
	})
	b.Run("hub", func(b *testing.B) {
		crowd := crowd{f: start(b, fleet.Options{}), dir: b.TempDir(), server: enroltest.New("idle")}
		hub := crowd.f.Process("writ-hub").PID()
		empty := resident(b, hub)
		for _, n := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("spokes=%d", n), func(b *testing.B) {
				crowd.grow(b, n)
				b.ReportMetric(resident(b, hub), "MB")
				b.ReportMetric((resident(b, hub)-empty)/float64(n), "MB/spoke")
				b.ReportMetric(0, "ns/op")
			})
		}
	})
}

// crowd is many spokes in this process.
type crowd struct {
	f      *fleet.Fleet
	dir    string
	server enroltest.Server // of all their clusters
	size   int
	heads  atomic.Int64
}

func (c *crowd) token() (string, error) { return c.server.Token(enroltest.Claims()), nil }

// grow has spokes join until there are n, and waits until each has been idle for some heartbeats.
func (c *crowd) grow(b *testing.B, n int) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	joining, ctx := errgroup.WithContext(ctx)
	joining.SetLimit(4)
	for ; c.size < n; c.size++ {
		name := fmt.Sprintf("idle-%d", c.size)
		joining.Go(func() error { return c.join(ctx, b, name) })
	}
	require.NoError(b, joining.Wait())
	from := c.heads.Load()
	require.Eventually(b, func() bool { return c.heads.Load()-from >= int64(heartbeats*n) }, 2*time.Minute, 100*time.Millisecond)
}

// register registers a cluster with the operator's command, and returns its spoke and what that joins with.
func (c *crowd) register(ctx context.Context, name string) (enrol.Spoke, *enrol.Join, error) {
	spoke := enrol.Spoke{Dir: filepath.Join(c.dir, name), ClusterUID: uuid.NewString(), AccountToken: c.token, Log: slog.New(slog.DiscardHandler), Now: time.Now}
	join, err := fleettest.Register(ctx, c.f, c.dir, c.server, name, spoke.ClusterUID)
	return spoke, join, err
}

// join has a cluster registered, enrols, and keeps the connection until the benchmark's end.
func (c *crowd) join(ctx context.Context, b *testing.B, name string) error {
	spoke, join, err := c.register(ctx, name)
	if err != nil {
		return err
	}
	e, err := spoke.Start(ctx, join)
	if err != nil {
		return err
	}
	uplink := link.New(link.Parts{Address: e.Hub.Connect, Credentials: identity.DialCredentials(e.Source), Cluster: name, ClusterUID: spoke.ClusterUID,
		Version: &writv1.Version{Capability: capability.Current}, Journal: empty{e.Epoch}, Handler: idler{&c.heads}, Log: spoke.Log})
	go func() { _ = uplink.Run(b.Context()) }()
	return nil
}

// empty is the journal of a spoke that has done nothing.
type empty struct{ epoch uint64 }

func (e empty) Head(context.Context) (epoch, sequence uint64, digest string, err error) {
	return e.epoch, 0, "", nil
}

func (empty) Undelivered(context.Context, func(writv1.Acknowledge_Kind, string, []byte, []byte)) error {
	return nil
}

func (empty) Delivered(context.Context, writv1.Acknowledge_Kind, string) error { return nil }

// idler counts heartbeats.
type idler struct{ heads *atomic.Int64 }

func (i idler) Head(context.Context, []byte) error { i.heads.Add(1); return nil }

func (idler) EpochReset(context.Context, []byte) error { return nil }

func (idler) TrustRoots(context.Context, [][]byte) error { return nil }

func (idler) Authorities(context.Context, []byte) error { return nil }

func (idler) Renewal() {}

func (idler) Trusting() *writv1.Trusting { return nil }

func (idler) Bundle(context.Context, []byte) error { return nil }

func (idler) Inspect(context.Context, *writv1.Inspect) *writv1.Facts { return nil }

func (idler) Rehearse(context.Context, []byte) *writv1.Attestation { return nil }
