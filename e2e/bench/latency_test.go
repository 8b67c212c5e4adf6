package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/e2e/fleet"
)

// BenchmarkLatency measures one action after another, from the moment at which the approval is committed on the hub's API
// server: until a watch of the workload cluster shows the change, and until a watch of the hub shows the receipt. The floor is
// the same change by client-go alone, between two actions of the same run.
func BenchmarkLatency(b *testing.B) {
	for _, bc := range []struct {
		credentials string
		options     fleet.Options
		actions     int
		every       time.Duration // Vault's engine holds itself to 1.25 credentials a second
	}{
		{"tokenrequest", fleet.Options{Clusters: []string{"east"}, Bare: true}, 300, 0},
		{"vault", fleet.Options{Clusters: []string{"east"}, Bare: true, Vault: true}, 60, time.Second},
	} {
		b.Run("credentials="+bc.credentials, func(b *testing.B) {
			l := newLatency(b, start(b, bc.options))
			for range 10 { // warm: connections, caches
				l.action(b)
				l.patch(b)
			}
			l.changed, l.floor, l.approved = nil, nil, map[string]time.Time{}
			for range bc.actions {
				next := time.After(bc.every)
				l.action(b)
				l.patch(b)
				<-next
			}
			report(b, "changed", l.changed)
			report(b, "receipt", l.receipts(b))
			report(b, "floor", l.floor)
		})
	}
}

type latency struct {
	f         *fleet.Fleet
	hub, east client.WithWatch
	sre       client.Client
	requests  watch.Interface
	workloads watch.Interface
	n         int

	approved       map[string]time.Time
	changed, floor []time.Duration
}

func newLatency(b *testing.B, f *fleet.Fleet) *latency {
	b.Helper()
	l := &latency{f: f, hub: unhurried(b, f, f.Hub.RESTConfig()), east: unhurried(b, f, f.Clusters["east"].RESTConfig()),
		approved: map[string]time.Time{}}
	var err error
	l.sre, err = f.As("sam", "sre")
	require.NoError(b, err)
	l.requests, err = l.hub.Watch(b.Context(), &v1alpha1.ActionRequestList{})
	require.NoError(b, err)
	b.Cleanup(l.requests.Stop)
	l.workloads, err = l.east.Watch(b.Context(), &appsv1.DeploymentList{}, client.InNamespace(fleet.Namespace))
	require.NoError(b, err)
	b.Cleanup(l.workloads.Stop)
	return l
}

// action has one request approved, and follows it.
func (l *latency) action(b *testing.B) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	l.n++
	name := fmt.Sprintf("action-%d", l.n)
	require.NoError(b, settled(ctx, l.east, name, 1, 2))
	require.NoError(b, l.hub.Create(ctx, scale("east", name, 2))) // twice as many: somebody has to approve
	waiting := await(ctx, b, l.requests, func(r *v1alpha1.ActionRequest) bool {
		return r.Name == name && r.Status.Phase == v1alpha1.PhaseAwaitingApproval
	})
	require.NoError(b, fleet.Approve(ctx, l.sre, waiting, v1alpha1.Approve))
	approved := time.Now()
	await(ctx, b, l.workloads, func(d *appsv1.Deployment) bool { return d.Name == name && *d.Spec.Replicas == 2 })
	l.changed, l.approved[name] = append(l.changed, time.Since(approved)), approved
	await(ctx, b, l.requests, func(r *v1alpha1.ActionRequest) bool {
		return r.Name == name && r.Status.Phase == v1alpha1.PhaseSucceeded
	})
}

// receipts are the times from approval to receipt, by the hub's own log: a status is written later.
func (l *latency) receipts(b *testing.B) (took []time.Duration) {
	b.Helper()
	raw, err := os.ReadFile(l.f.LogOf("writ-hub"))
	require.NoError(b, err)
	for line := range strings.Lines(string(raw)) {
		var entry struct {
			Time          time.Time
			Step, Request string
		}
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Step != "awaitReceipt" {
			continue
		}
		if approved, ok := l.approved[entry.Request]; ok {
			took = append(took, entry.Time.Sub(approved))
		}
	}
	require.Len(b, took, len(l.approved))
	return took
}

// patch makes the same change with an administrator's client.
func (l *latency) patch(b *testing.B) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	name := fmt.Sprintf("patch-%d", l.n)
	require.NoError(b, settled(ctx, l.east, name, 1, 2))
	var d appsv1.Deployment
	require.NoError(b, l.east.Get(ctx, client.ObjectKey{Namespace: fleet.Namespace, Name: name}, &d))
	before := d.DeepCopy()
	d.Spec.Replicas = new(int32(2))
	began := time.Now()
	require.NoError(b, l.east.Patch(ctx, &d, client.MergeFrom(before)))
	await(ctx, b, l.workloads, func(d *appsv1.Deployment) bool { return d.Name == name && *d.Spec.Replicas == 2 })
	l.floor = append(l.floor, time.Since(began))
}

// await returns the first object of a watch that is the one.
func await[T client.Object](ctx context.Context, b *testing.B, events watch.Interface, is func(T) bool) T {
	b.Helper()
	for {
		select {
		case event, ok := <-events.ResultChan():
			if !ok {
				b.Error("the watch ended")
				return *new(T)
			}
			if object, ok := event.Object.(T); ok && event.Type != watch.Deleted && is(object) {
				return object
			}
		case <-ctx.Done():
			b.Errorf("not seen in time: %v", ctx.Err())
			return *new(T)
		}
	}
}
