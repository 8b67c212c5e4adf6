package rollout_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/rollout"
)

// scene plays the API server and the gateway: what Next asks for is there afterwards, and every decision is made twice.
type scene struct {
	t         *testing.T
	rollout   *v1alpha1.Rollout
	clusters  []string
	requests  map[string]*v1alpha1.ActionRequest
	withdrawn []string
	now       time.Time
	again     time.Duration
}

func newScene(t *testing.T, clusters int, change func(*v1alpha1.RolloutSpec)) *scene {
	s := &scene{t: t, requests: map[string]*v1alpha1.ActionRequest{}, now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	for i := range clusters {
		s.clusters = append(s.clusters, fmt.Sprintf("c%02d", i+1))
	}
	s.rollout = &v1alpha1.Rollout{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "r", UID: "u1"}, Spec: v1alpha1.RolloutSpec{
		Request: v1alpha1.RequestTemplate{Action: "scale", Parameters: &apiextensionsv1.JSON{Raw: []byte(`{"replicas":4}`)},
			Target: v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout"}},
		Selector: v1alpha1.ClusterSelector{MatchLabels: map[string]string{"env": "prod"}},
		Waves:    []v1alpha1.Wave{{Canary: new(int32(1))}, {Percent: new(int32(50))}}, Pause: "0s", OnFailure: v1alpha1.FailureStop}}
	if change != nil {
		change(&s.rollout.Spec)
	}
	return s
}

// step decides once, and does it; it returns the names asked for.
func (s *scene) step() (asked []string) {
	s.t.Helper()
	facts := rollout.Facts{Rollout: s.rollout, Clusters: s.clusters, Requests: s.requests, Now: s.now}
	before, _ := json.Marshal(facts)
	plan := rollout.Next(facts)
	require.Equal(s.t, plan, rollout.Next(facts), "the same facts, another decision")
	after, _ := json.Marshal(facts)
	require.Equal(s.t, string(before), string(after), "deciding changed the facts")
	s.rollout.Status, s.again = plan.Status, plan.Again
	for _, r := range plan.Withdraw {
		s.withdrawn = append(s.withdrawn, r.Name)
		s.end(r.Name, v1alpha1.PhaseRefused)
		s.requests[r.Name].Status.Reason = string(refusal.Withdrawn)
	}
	for _, r := range plan.Ask {
		require.NotContains(s.t, s.requests, r.Name, "asked twice")
		r.UID = types.UID("uid-" + r.Name)
		s.requests[r.Name] = r
		asked = append(asked, r.Name)
	}
	return asked
}

// settle decides until nothing changes any more.
func (s *scene) settle() (asked []string) {
	s.t.Helper()
	for range 10 {
		before, _ := json.Marshal(s.rollout.Status)
		now := s.step()
		after, _ := json.Marshal(s.rollout.Status)
		asked = append(asked, now...)
		if string(before) == string(after) && len(now) == 0 {
			return asked
		}
	}
	s.t.Fatal("it does not settle")
	return nil
}

func (s *scene) end(name string, phase v1alpha1.Phase) {
	s.t.Helper()
	require.Contains(s.t, s.requests, name)
	status := &s.requests[name].Status
	status.Phase, status.Message = phase, "so it ended"
	if phase == v1alpha1.PhaseSucceeded || phase == v1alpha1.PhaseIneffective {
		status.Change, status.Inverse = "replicas 3 → 4", `{"action":"scale","parameters":{"replicas":3}}`
	}
}

func (s *scene) all(names []string, phase v1alpha1.Phase) {
	s.t.Helper()
	for _, name := range names {
		s.end(name, phase)
	}
}

func (s *scene) is(phase v1alpha1.RolloutPhase, says string) {
	s.t.Helper()
	require.Equal(s.t, phase, s.rollout.Status.Phase, s.rollout.Status.Message)
	require.Contains(s.t, s.rollout.Status.Message, says)
	require.Equal(s.t, phase.Final(), s.rollout.Status.FinishedAt != nil)
}

func TestWavesFollowEachOther(t *testing.T) {
	s := newScene(t, 5, nil)
	require.Empty(t, s.step(), "the plan is on record before anything is asked for")
	s.is(v1alpha1.RolloutRunning, "5 clusters in 3 waves")
	require.Equal(t, []string{"r.c01"}, s.settle())
	s.is(v1alpha1.RolloutRunning, "wave 1: 1 under way")
	s.end("r.c01", v1alpha1.PhaseObserving)
	require.Empty(t, s.settle())
	s.end("r.c01", v1alpha1.PhaseSucceeded)
	wave := s.settle()
	require.Equal(t, []string{"r.c02", "r.c03"}, wave, "50 % of 5, rounded up, counted from the first")
	s.end("r.c02", v1alpha1.PhaseSucceeded)
	s.end("r.c03", v1alpha1.PhaseAwaitingApproval)
	require.Empty(t, s.settle())
	s.is(v1alpha1.RolloutRunning, "1 waiting for an approver")
	require.Equal(t, "2/3", s.rollout.Status.Wave)
	require.Equal(t, "2/5", s.rollout.Status.Progress)
	s.end("r.c03", v1alpha1.PhaseSucceeded)
	wave = s.settle()
	require.Equal(t, []string{"r.c04", "r.c05"}, wave, "what no wave names is the last one")
	s.all(wave, v1alpha1.PhaseSucceeded)
	require.Empty(t, s.settle())
	s.is(v1alpha1.RolloutSucceeded, "5 of 5 clusters")
	r := s.requests["r.c04"]
	require.Equal(t, "c04", r.Spec.Cluster)
	require.Equal(t, &v1alpha1.Reference{Name: "r", UID: "u1"}, r.Spec.Rollout)
	require.Empty(t, r.Spec.Requester, "who asked is never written by the hub")
}

func TestClustersThatComeLaterAreNotInThePlan(t *testing.T) {
	s := newScene(t, 2, nil)
	s.settle()
	s.clusters = append([]string{"a"}, s.clusters...)
	s.end("r.c01", v1alpha1.PhaseSucceeded)
	require.Equal(t, []string{"r.c02"}, s.settle())
}

func TestTheFirstFailureStops(t *testing.T) {
	for _, phase := range []v1alpha1.Phase{v1alpha1.PhaseIneffective, v1alpha1.PhaseFailed, v1alpha1.PhaseRefused, v1alpha1.PhaseExpired} {
		t.Run(string(phase), func(t *testing.T) {
			s := newScene(t, 5, nil)
			s.settle()
			s.end("r.c01", phase)
			require.Empty(t, s.settle())
			s.is(v1alpha1.RolloutStopped, "1 failed, 0 may (c01: "+string(phase)+", so it ended); 4 clusters were left as they were")
			require.Len(t, s.requests, 1)
		})
	}
}

func TestStoppingWithdrawsWhatIsNotSigned(t *testing.T) {
	s := newScene(t, 4, func(spec *v1alpha1.RolloutSpec) { spec.Waves = []v1alpha1.Wave{{Count: new(int32(4))}} })
	s.settle()
	s.end("r.c01", v1alpha1.PhaseFailed)
	s.end("r.c02", v1alpha1.PhaseAwaitingApproval)
	s.end("r.c03", v1alpha1.PhaseExecuting)
	require.Empty(t, s.step())
	require.Equal(t, []string{"r.c02", "r.c04"}, s.withdrawn, "c04 has not been looked at yet")
	require.Positive(t, s.again, "one that is not in the gateway yet must be withdrawn again")
	s.settle()
	s.is(v1alpha1.RolloutStopping, "1 still under way")
	s.end("r.c03", v1alpha1.PhaseSucceeded)
	s.settle()
	s.is(v1alpha1.RolloutStopped, "1 failed, 0 may")
	require.EqualValues(t, 1, s.rollout.Status.Failed, "what was withdrawn did not fail")
}

func TestSomeMayFail(t *testing.T) {
	s := newScene(t, 4, func(spec *v1alpha1.RolloutSpec) {
		spec.Waves, spec.MaxFailures = []v1alpha1.Wave{{Count: new(int32(2))}}, 1
	})
	s.all(s.settle(), v1alpha1.PhaseSucceeded)
	s.end("r.c01", v1alpha1.PhaseRefused)
	wave := s.settle()
	require.Equal(t, []string{"r.c03", "r.c04"}, wave)
	s.all(wave, v1alpha1.PhaseSucceeded)
	s.settle()
	s.is(v1alpha1.RolloutSucceeded, "3 of 4 clusters; 1 failed, 1 may")
}

func TestAPauseBetweenWaves(t *testing.T) {
	s := newScene(t, 2, func(spec *v1alpha1.RolloutSpec) { spec.Pause = "5m" })
	s.all(s.settle(), v1alpha1.PhaseSucceeded)
	require.Empty(t, s.settle())
	s.is(v1alpha1.RolloutRunning, "wave 2 begins at 12:05:00Z")
	require.Equal(t, 5*time.Minute, s.again)
	s.now = s.now.Add(5*time.Minute - time.Second)
	require.Empty(t, s.settle())
	require.Equal(t, time.Second, s.again)
	s.now = s.now.Add(time.Second)
	require.Equal(t, []string{"r.c02"}, s.settle())
}

func TestHeldByAPerson(t *testing.T) {
	s := newScene(t, 2, nil)
	s.rollout.Spec.Paused = true
	require.Empty(t, s.settle())
	s.is(v1alpha1.RolloutPaused, "paused")
	s.rollout.Spec.Paused = false
	require.Equal(t, []string{"r.c01"}, s.settle())
	s.rollout.Spec.Paused = true
	s.end("r.c01", v1alpha1.PhaseSucceeded)
	require.Empty(t, s.settle())
	s.is(v1alpha1.RolloutPaused, "paused")
	s.rollout.Spec.Paused = false
	require.Equal(t, []string{"r.c02"}, s.settle())
}

func TestAborted(t *testing.T) {
	s := newScene(t, 4, func(spec *v1alpha1.RolloutSpec) {
		spec.Waves, spec.OnFailure = []v1alpha1.Wave{{Count: new(int32(3))}}, v1alpha1.FailureUndo
	})
	s.settle()
	s.end("r.c01", v1alpha1.PhaseDispatched)
	s.end("r.c02", v1alpha1.PhaseSucceeded)
	s.end("r.c03", v1alpha1.PhaseAwaitingApproval)
	s.rollout.Spec.Aborted = true
	require.Empty(t, s.settle(), "an abort undoes nothing")
	require.Equal(t, []string{"r.c03"}, s.withdrawn)
	s.is(v1alpha1.RolloutAborted, "1 succeeded, 1 of 4 clusters were left as they were; 1 were signed already and go on")
	s.end("r.c01", v1alpha1.PhaseFailed)
	require.Empty(t, s.settle())
	s.is(v1alpha1.RolloutAborted, "1 succeeded")
	require.Equal(t, v1alpha1.PhaseFailed, s.rollout.Status.Waves[0].Clusters[0].Phase, "how it ended is shown all the same")

	early := newScene(t, 2, nil)
	early.rollout.Spec.Aborted = true
	require.Empty(t, early.settle())
	early.is(v1alpha1.RolloutAborted, "before anything was asked for")
}

func TestUndone(t *testing.T) {
	begin := func(t *testing.T) *scene {
		s := newScene(t, 4, func(spec *v1alpha1.RolloutSpec) {
			spec.Waves, spec.OnFailure = []v1alpha1.Wave{{Count: new(int32(3))}}, v1alpha1.FailureUndo
		})
		s.settle()
		s.end("r.c01", v1alpha1.PhaseSucceeded)
		s.end("r.c02", v1alpha1.PhaseIneffective)
		s.end("r.c03", v1alpha1.PhaseExecuting)
		require.Equal(t, []string{"r.c01.undo", "r.c02.undo"}, s.settle(), "what ended is undone at once")
		s.is(v1alpha1.RolloutUndoing, "0 of 2 changes are undone")
		undo := s.requests["r.c01.undo"]
		require.Equal(t, &v1alpha1.Reference{Name: "r.c01", UID: "uid-r.c01"}, undo.Spec.Undoes)
		require.JSONEq(t, `{"replicas":3}`, string(undo.Spec.Parameters.Raw))
		require.Equal(t, "c01", undo.Spec.Cluster)
		return s
	}
	t.Run("all of it", func(t *testing.T) {
		s := begin(t)
		s.all([]string{"r.c01.undo", "r.c02.undo"}, v1alpha1.PhaseSucceeded)
		require.Empty(t, s.settle())
		s.is(v1alpha1.RolloutUndoing, "2 of 2 changes are undone")
		s.end("r.c03", v1alpha1.PhaseSucceeded)
		require.Equal(t, []string{"r.c03.undo"}, s.settle(), "what was signed already ends first")
		s.end("r.c03.undo", v1alpha1.PhaseSucceeded)
		require.Empty(t, s.settle(), "an undo is never undone")
		s.is(v1alpha1.RolloutUndone, "all 3 changes are undone")
		require.EqualValues(t, 3, s.rollout.Status.Undone)
	})
	t.Run("not all of it", func(t *testing.T) {
		s := begin(t)
		s.end("r.c01.undo", v1alpha1.PhaseRefused)
		s.end("r.c02.undo", v1alpha1.PhaseSucceeded)
		s.end("r.c03", v1alpha1.PhaseSucceeded)
		s.requests["r.c03"].Status.Inverse = ""
		require.Empty(t, s.settle())
		s.is(v1alpha1.RolloutStopped, "1 of 3 changes are undone, 1 have no inverse, 1 were not undone")
	})
}

// A hub that starts anew knows nothing but the objects: whatever it had done before, nothing is done twice.
func TestNothingIsAskedForTwice(t *testing.T) {
	t.Run("asked, and the status not written since", func(t *testing.T) {
		s := newScene(t, 3, nil)
		s.step()
		before := s.rollout.Status.DeepCopy()
		require.Equal(t, []string{"r.c01"}, s.step())
		s.rollout.Status = *before
		require.Empty(t, s.settle())
		require.Len(t, s.requests, 1)
	})
	t.Run("a request that was deleted", func(t *testing.T) {
		s := newScene(t, 3, nil)
		s.settle()
		delete(s.requests, "r.c01")
		require.Empty(t, s.settle())
		s.is(v1alpha1.RolloutStopped, "its request was deleted")
	})
	t.Run("a request of an earlier rollout of the name", func(t *testing.T) {
		s := newScene(t, 3, nil)
		s.requests["r.c01"] = &v1alpha1.ActionRequest{ObjectMeta: metav1.ObjectMeta{Name: "r.c01", UID: "old"},
			Spec:   v1alpha1.ActionRequestSpec{Rollout: &v1alpha1.Reference{Name: "r", UID: "u0"}},
			Status: v1alpha1.ActionRequestStatus{Phase: v1alpha1.PhaseSucceeded}}
		require.Empty(t, s.settle())
		s.is(v1alpha1.RolloutStopped, "a request of another has the name r.c01")
	})
}

func TestNobodyIsSelected(t *testing.T) {
	s := newScene(t, 0, nil)
	require.Empty(t, s.settle())
	s.is(v1alpha1.RolloutStopped, "no cluster has the labels")
}

func TestWhichClustersInWhichWave(t *testing.T) {
	canary, percent, count := func(n int32) v1alpha1.Wave { return v1alpha1.Wave{Canary: &n} }, func(n int32) v1alpha1.Wave { return v1alpha1.Wave{Percent: &n} }, func(n int32) v1alpha1.Wave { return v1alpha1.Wave{Count: &n} }
	for name, tc := range map[string]struct {
		clusters int
		waves    []v1alpha1.Wave
		want     []int
	}{
		"canary, then half, then all":   {10, []v1alpha1.Wave{canary(1), percent(50), percent(100)}, []int{1, 4, 5}},
		"the rest is a wave":            {10, []v1alpha1.Wave{canary(1)}, []int{1, 9}},
		"one by one":                    {3, []v1alpha1.Wave{count(1), count(1), count(1)}, []int{1, 1, 1}},
		"fewer than asked for":          {2, []v1alpha1.Wave{canary(5), percent(50), count(9)}, []int{2}},
		"a percentage already reached":  {4, []v1alpha1.Wave{count(3), percent(50), percent(100)}, []int{3, 1}},
		"one of a small fleet is a few": {3, []v1alpha1.Wave{percent(1), percent(34), percent(67)}, []int{1, 1, 1}},
		"five hundred":                  {500, []v1alpha1.Wave{canary(5), percent(10), percent(100)}, []int{5, 45, 450}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, tc.clusters, func(spec *v1alpha1.RolloutSpec) { spec.Waves = tc.waves })
			s.step()
			var sizes []int
			var names []string
			for _, wave := range s.rollout.Status.Waves {
				sizes = append(sizes, len(wave.Clusters))
				for _, c := range wave.Clusters {
					names = append(names, c.Name)
				}
			}
			require.Equal(t, tc.want, sizes)
			require.Equal(t, s.clusters, names)
		})
	}
}

func TestSelect(t *testing.T) {
	cluster := func(name string, labels map[string]string) v1alpha1.Cluster {
		return v1alpha1.Cluster{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	}
	fleet := []v1alpha1.Cluster{cluster("west", map[string]string{"env": "prod", "region": "w"}), cluster("east", map[string]string{"env": "prod"}), cluster("lab", nil)}
	for name, tc := range map[string]struct {
		selector v1alpha1.ClusterSelector
		want     []string
	}{
		"by a label, by name":     {v1alpha1.ClusterSelector{MatchLabels: map[string]string{"env": "prod"}}, []string{"east", "west"}},
		"by all labels":           {v1alpha1.ClusterSelector{MatchLabels: map[string]string{"env": "prod", "region": "w"}}, []string{"west"}},
		"an empty label":          {v1alpha1.ClusterSelector{MatchLabels: map[string]string{"env": ""}}, nil},
		"nothing selects nothing": {v1alpha1.ClusterSelector{}, nil},
		"names keep their order":  {v1alpha1.ClusterSelector{Names: []string{"west", "south", "east"}}, []string{"west", "south", "east"}},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, tc.want, rollout.Select(tc.selector, fleet)) })
	}
}

func TestNamesStayNames(t *testing.T) {
	long := strings.Repeat("a", 253)
	names := []string{v1alpha1.UndoName("r.east"), v1alpha1.UndoName(long), v1alpha1.UndoName(long[1:] + "b"), v1alpha1.UndoName(long[:248]), v1alpha1.UndoName(long[:249])}
	require.Equal(t, "r.east.undo", names[0])
	for _, name := range names {
		require.LessOrEqual(t, len(name), 253)
		require.True(t, strings.HasSuffix(name, ".undo"))
	}
	slices.Sort(names)
	require.Len(t, slices.Compact(names), 5)
}
