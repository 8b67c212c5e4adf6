package signals

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/signal"
)

// stuck is a rollout of three replicas, of which one new pod waits.
func stuck() Deployment {
	return Deployment{Namespace: "shop", Name: "checkout", UID: "u1", Generation: 2, ObservedGeneration: 2, Revision: "2",
		Replicas: 3, Updated: 1, Available: 3, Current: 4, ProgressingStatus: "True", ProgressingReason: "ReplicaSetUpdated"}
}

func TestJudge(t *testing.T) {
	late := func(d *Deployment) { d.ProgressingStatus, d.ProgressingReason = "False", "ProgressDeadlineExceeded" }
	cases := []struct {
		name    string
		change  func(*Deployment)
		waiting []string
		want    Cause // empty where it gets on
	}{
		{"on its way", nil, nil, ""},
		{"containers are being made", nil, []string{"ContainerCreating", "PodInitializing"}, ""},
		{"first failed pull", nil, []string{"ErrImagePull"}, ImagePullFailed},
		{"later pulls", nil, []string{"ImagePullBackOff"}, ImagePullFailed},
		{"image name", nil, []string{"InvalidImageName"}, ImagePullFailed},
		{"config", nil, []string{"CreateContainerConfigError"}, ContainerConfigInvalid},
		{"crash", nil, []string{"ContainerCreating", "CrashLoopBackOff"}, ContainerCrashing},
		{"the most telling one", nil, []string{"CrashLoopBackOff", "ErrImagePull"}, ImagePullFailed},
		{"deadline passed", late, nil, ProgressDeadlineExceeded},
		{"deadline passed, pods tell why", late, []string{"ErrImagePull"}, ImagePullFailed},
		{"nothing new can be made", func(d *Deployment) {
			d.ProgressingStatus, d.ProgressingReason = "False", "ReplicaSetCreateError"
		}, nil, ""},
		{"paused", func(d *Deployment) { d.Paused = true }, []string{"ErrImagePull"}, ""},
		{"scaled to zero", func(d *Deployment) { d.Replicas = 0 }, []string{"ErrImagePull"}, ""},
		{"not yet observed", func(d *Deployment) { d.Generation++ }, []string{"ErrImagePull"}, ""},
		{"arrived, and crashes since", func(d *Deployment) {
			d.ProgressingReason, d.Updated, d.Current, d.Available = "NewReplicaSetAvailable", 3, 3, 1
		}, []string{"CrashLoopBackOff"}, ""},
		{"controller still says the former arrival", func(d *Deployment) {
			d.ProgressingReason = "NewReplicaSetAvailable"
		}, []string{"ErrImagePull"}, ImagePullFailed},
		{"controller does not look at the deadline", func(d *Deployment) {
			d.ProgressingReason, d.Deadline, d.Still = "NewReplicaSetAvailable", time.Minute, time.Minute
		}, nil, ProgressDeadlineExceeded},
		{"stands still, not yet too long", func(d *Deployment) { d.Deadline, d.Still = time.Minute, time.Minute-1 }, nil, ""},
		{"stands still, without a deadline", func(d *Deployment) { d.Still = time.Hour }, nil, ""},
		{"no deadline, on its way", func(d *Deployment) {
			d.ProgressingStatus, d.ProgressingReason = "", ""
		}, []string{"ErrImagePull"}, ImagePullFailed},
		{"no deadline, arrived", func(d *Deployment) {
			d.ProgressingStatus, d.ProgressingReason, d.Updated, d.Current = "", "", 3, 3
		}, []string{"ErrImagePull"}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := stuck()
			if c.change != nil {
				c.change(&d)
			}
			var waiting []Waiting
			for _, reason := range c.waiting {
				waiting = append(waiting, Waiting{Reason: reason})
			}
			p, ok := judge(d, waiting)
			require.Equal(t, c.want != "", ok)
			require.Equal(t, c.want, p.Cause)
		})
	}
}

func TestOneSignalACause(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	traces := 0
	trace := func() string { traces++; return "" }
	open := cases{}
	see := func(d Deployment, reason string) (signal.Signal, bool) {
		p, ok := judge(d, []Waiting{{Reason: reason, Image: "x", Message: "a\x1b[2J"}})
		require.True(t, ok)
		s, report := open.sight(p, now, trace)
		if report {
			open.reported(d.UID, now)
		}
		return s, report
	}
	first, report := see(stuck(), "ErrImagePull")
	require.True(t, report)
	require.EqualValues(t, 1, first.Count)
	require.Equal(t, signal.Warning, first.Severity)

	now = now.Add(again - time.Second)
	_, report = see(stuck(), "ImagePullBackOff")
	require.False(t, report, "too soon")

	now = now.Add(time.Second)
	none := stuck()
	none.Available, none.ProgressingStatus, none.ProgressingReason = 0, "False", "ProgressDeadlineExceeded"
	later, report := see(none, "ContainerCreating")
	require.True(t, report)
	require.Equal(t, first.Fingerprint, later.Fingerprint, "the deadline that passes is the same trouble")
	require.Equal(t, first.ID, later.ID)
	require.Equal(t, string(ImagePullFailed), later.Values["cause"])
	require.Equal(t, first.FirstSeen, later.FirstSeen)
	require.Equal(t, now, later.LastSeen)
	require.EqualValues(t, 3, later.Count)
	require.Equal(t, signal.Critical, later.Severity)
	require.Equal(t, 1, traces)

	next := stuck()
	next.Generation, next.ObservedGeneration = 3, 3
	other, report := see(next, "ErrImagePull")
	require.True(t, report, "a new generation is a new signal")
	require.NotEqual(t, first.Fingerprint, other.Fingerprint)
	require.Equal(t, 2, traces)

	other.Cluster = "east"
	require.NoError(t, other.Validate(now), "what pods say is cleaned")
	require.Equal(t, []string{"available", "cause", "generation", "image", "message", "replicas", "revision", "updated", "waiting"},
		slices.Sorted(maps.Keys(other.Values)))
}

func TestASightingThatWasNotReportedIsReportedNext(t *testing.T) {
	now := time.Now()
	p, _ := judge(stuck(), []Waiting{{Reason: "ErrImagePull"}})
	open := cases{}
	for range 2 {
		_, report := open.sight(p, now, func() string { return "" })
		require.True(t, report)
	}
}

func TestLooksBecomeRarer(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	all := rollouts{}
	all.take(seen{Deployment: stuck()}, now)
	require.Nil(t, all.next(now), "not at once: the pods are being made")
	looks, still := 0, time.Duration(0)
	for end := now.Add(10 * time.Minute); now.Before(end); now = now.Add(tick) {
		all.take(seen{Deployment: stuck()}, now) // status changes that say nothing new bring nothing forward
		if one := all.next(now); one != nil {
			looks, still = looks+1, one.Still
		}
	}
	require.InDelta(t, 26, looks, 2)
	require.GreaterOrEqual(t, still, 9*time.Minute, "nothing moved meanwhile")
	moved := stuck()
	moved.Updated++
	all.take(seen{Deployment: moved}, now)
	require.Equal(t, now, all["u1"].since)
	late := stuck()
	late.ProgressingStatus = "False"
	all.take(seen{Deployment: late}, now)
	require.NotNil(t, all.next(now.Add(firstLook)), "the passed deadline does")
}
