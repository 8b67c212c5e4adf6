package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// perRun is how many actions one measurement is made of.
const perRun = 1000

// BenchmarkThroughput measures how many actions a second go through the whole pipeline: asked for on the hub's API server,
// judged, logged, signed, carried out with a credential of each one's own, their receipts and outcomes on the audit log and
// shown; and then what the API servers alone allow, without Writ. Each spoke has an API server of its own, without controllers, so
// that pods are not what is measured. Everything shares this machine, so that the time of the processor that each kind of program
// takes tells what bounds the figure.
func BenchmarkThroughput(b *testing.B) {
	for _, spokes := range []int{1, 10, 20} {
		b.Run(fmt.Sprintf("spokes=%d", spokes), func(b *testing.B) {
			names := make([]string, spokes)
			for i := range names {
				names[i] = fmt.Sprintf("c%02d", i)
			}
			t := newThroughput(b, names, 32)
			t.run(b, "warm", 100)
			took, _ := t.run(b, "action", perRun)
			b.ReportMetric(perRun/took.Seconds(), "actions/s")
			b.ReportMetric(0, "ns/op")
			t.floor(b, perRun)
		})
	}
}

// BenchmarkGrowth measures how the gateway bears more requests at a time: from asking for an action of tier low on the hub's API
// server until the hub has committed its signed bundle, and how many go through the whole pipeline of one spoke a second.
func BenchmarkGrowth(b *testing.B) {
	t := newThroughput(b, []string{"c00"}, 32)
	t.run(b, "warm", 100)
	for _, atOnce := range []int{1, 4, 16, 64, 256} {
		b.Run(fmt.Sprintf("atOnce=%d", atOnce), func(b *testing.B) {
			t.atOnce = atOnce
			n := min(perRun, 200*atOnce)
			took, asked := t.run(b, fmt.Sprintf("growth-%d", atOnce), n)
			b.ReportMetric(float64(n)/took.Seconds(), "actions/s")
			report(b, "signed", sinceAsked(b, t.log, asked))
		})
	}
}

type throughput struct {
	fleet     *fleet.Fleet
	names     []string
	atOnce    int // actions under way, over all spokes
	hub       client.Client
	ends      *ends
	log       string             // file of the hub's log
	workloads []client.WithWatch // of each
}

func newThroughput(b *testing.B, names []string, atOnce int) throughput {
	b.Helper()
	f := start(b, fleet.Options{Clusters: names, Bare: true})
	t := throughput{fleet: f, names: names, atOnce: atOnce, hub: unhurried(b, f, f.Hub.RESTConfig()), ends: follow(b, f), log: f.LogOf("writ-hub")}
	for _, name := range names {
		t.workloads = append(t.workloads, unhurried(b, f, f.Clusters[name].RESTConfig()))
	}
	return t
}

// run has n actions carried out, each of a Deployment of its own, and returns how long it took, and when each was asked for.
func (t throughput) run(b *testing.B, prefix string, n int) (took time.Duration, asked map[string]time.Time) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Minute)
	defer cancel()
	name := func(i int) string { return fmt.Sprintf("%s-%d", prefix, i) }
	each(ctx, b, t.atOnce, n, func(ctx context.Context, i int) error {
		return settled(ctx, t.workloads[i%len(t.names)], name(i), 4, 5)
	})

	moments := make([]time.Time, n)
	before, began := used(b), time.Now()
	each(ctx, b, t.atOnce, n, func(ctx context.Context, i int) error {
		ended := t.ends.of(name(i))
		moments[i] = time.Now()
		if err := t.hub.Create(ctx, scale(t.names[i%len(t.names)], name(i), 5)); err != nil {
			return err
		}
		select {
		case r := <-ended:
			if r.Status.Phase != v1alpha1.PhaseSucceeded {
				return fmt.Errorf("%s: %s: %s", r.Name, r.Status.Phase, r.Status.Message)
			}
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%s has not ended: %w", name(i), ctx.Err())
		}
	})
	took = time.Since(began)
	before.reportSince(b, "", n)
	asked = make(map[string]time.Time, n)
	for i, moment := range moments {
		asked[name(i)] = moment
	}
	return took, asked
}

// sinceAsked reads in the hub's log how long each request took to be signed: the line is written once that is committed.
func sinceAsked(b *testing.B, log string, asked map[string]time.Time) (took []time.Duration) {
	b.Helper()
	file, err := os.Open(log)
	require.NoError(b, err)
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var line struct {
			Time                  time.Time
			Step, Result, Request string
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil || line.Step != "sign" || line.Result != "passed" {
			continue
		}
		if moment, ok := asked[line.Request]; ok {
			took = append(took, line.Time.Sub(moment))
		}
	}
	require.Len(b, took, len(asked))
	return took
}

// each does something n times, a few at once.
func each(ctx context.Context, b *testing.B, atOnce, n int, do func(ctx context.Context, i int) error) {
	b.Helper()
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range atOnce {
		group.Go(func() error {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				if err := do(ctx, int(i)); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(b, group.Wait())
}
