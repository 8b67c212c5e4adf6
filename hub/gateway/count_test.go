package gateway_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

// shop allows everything in the shop, within what change says.
func shop(change func(*v1alpha1.ActionPolicySpec)) v1alpha1.ActionPolicy {
	p := v1alpha1.ActionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "shop"}, Spec: v1alpha1.ActionPolicySpec{
		MatchConstraints: v1alpha1.MatchConstraints{Actions: []string{"*"}, Clusters: []string{"*"}, Namespaces: []string{"shop"}}}}
	change(&p.Spec)
	return p
}

func limited(l v1alpha1.PolicyLimit) v1alpha1.ActionPolicy {
	return shop(func(s *v1alpha1.ActionPolicySpec) { s.Limits = []v1alpha1.PolicyLimit{l} })
}

// ask asks now, as the test's clock has it.
func (h *hub) ask(r gateway.Request) {
	h.t.Helper()
	r.CreatedAt = h.clock()
	h.submit(r)
}

// refused asks, and wants a refusal of which nothing is left but the record.
func (h *hub) refused(r gateway.Request, reason refusal.Reason, says string) {
	h.t.Helper()
	before := h.signed()
	h.ask(r)
	require.Eventually(h.t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.last[r.ID].Refusal != nil
	}, 10*time.Second, 2*time.Millisecond)
	h.mu.Lock()
	no := h.last[r.ID].Refusal
	h.mu.Unlock()
	require.Equal(h.t, reason, no.Reason, no.Detail)
	require.Contains(h.t, no.Detail, says)
	require.Equal(h.t, before, h.signed(), "nothing was signed")
}

func of(class string, r gateway.Request) gateway.Request {
	r.AgentClass = class
	return r
}

func TestARateIsKeptThroughARestart(t *testing.T) {
	h := newHub(t)
	h.allow(limited(v1alpha1.PolicyLimit{Name: "hourly", Per: []string{"AgentClass"}, Rate: &v1alpha1.PolicyRate{Requests: 2, Within: "1h"}}))
	for _, id := range []string{"a", "b"} {
		h.ask(of("healer", request(id, "scale", `{"replicas":5}`)))
		h.answer(h.until(id, v1alpha1.PhaseDispatched))
	}
	h.refused(of("healer", request("c", "scale", `{"replicas":5}`)), refusal.RateLimited, "policy shop: limit hourly (AgentClass=healer) lets 2 requests through within 1h0m0s")
	h.ask(of("scaler", request("d", "scale", `{"replicas":5}`)))
	h.answer(h.until("d", v1alpha1.PhaseDispatched))
	h.restart()
	h.refused(of("healer", request("e", "scale", `{"replicas":5}`)), refusal.RateLimited, "limit hourly")
	h.pass(time.Hour + time.Second)
	h.ask(of("healer", request("f", "scale", `{"replicas":5}`)))
	h.until("f", v1alpha1.PhaseDispatched)
}

// A limit per target is a cooldown: it holds one object in one cluster, and stops no undo by the hub.
func TestACooldown(t *testing.T) {
	h := newHub(t)
	cooldown := limited(v1alpha1.PolicyLimit{Name: "cooldown", Per: []string{"Target", "Action"}, Rate: &v1alpha1.PolicyRate{Requests: 1, Within: "10m"}})
	cooldown.Spec.OnMiss = v1alpha1.OnMissUndo
	h.allow(cooldown)
	again := func(id string, change func(*gateway.Request)) gateway.Request {
		r := request(id, "scale", `{"replicas":6}`)
		r.Target.Name = "checkout-a"
		change(&r)
		return r
	}
	h.ask(request("a", "scale", `{"replicas":5}`))
	h.answer(h.until("a", v1alpha1.PhaseDispatched))
	h.until("a", v1alpha1.PhaseSucceeded)
	says := "policy shop: limit cooldown (Action=scale,Target=east/deployment/shop/checkout-a) lets 1 requests through within 10m0s"
	h.refused(again("b", func(*gateway.Request) {}), refusal.RateLimited, says)
	h.restart()
	h.refused(again("c", func(*gateway.Request) {}), refusal.RateLimited, says)
	for id, change := range map[string]func(*gateway.Request){
		"action": func(r *gateway.Request) { r.Action, r.Parameters = "rollout-restart", nil },
		"name":   func(r *gateway.Request) { r.Target.Name = "checkout-b" },
	} {
		h.ask(again(id, change))
		h.answer(h.until(id, v1alpha1.PhaseDispatched))
		h.until(id, v1alpha1.PhaseSucceeded)
	}
	north := again("north", func(r *gateway.Request) { r.Cluster = "north" })
	h.ask(north) // the same name, in another cluster
	h.until("north", v1alpha1.PhaseDispatched)
	h.pass(10*time.Minute + time.Second)
	h.drift = three
	h.ask(again("d", func(*gateway.Request) {}))
	h.answer(h.until("d", v1alpha1.PhaseDispatched))
	h.until("d", v1alpha1.PhaseIneffective)
	undos := h.undone()
	require.Len(t, undos, 1)
	h.submit(undos[0])
	h.until(undos[0].ID, v1alpha1.PhaseDispatched)
}

func TestConcurrencyIsKeptThroughARestartAndGivenBack(t *testing.T) {
	h := newHub(t)
	h.allow(limited(v1alpha1.PolicyLimit{Name: "few", Per: []string{"Namespace", "Action"}, Concurrent: new(int32(2))}))
	for _, id := range []string{"a", "b"} {
		h.ask(request(id, "rollback", ``))
		h.until(id, v1alpha1.PhaseAwaitingApproval)
	}
	h.refused(request("c", "rollback", ``), refusal.ConcurrencyLimited, "policy shop: limit few (Namespace=shop,Action=rollback) lets 2 actions be under way at once")
	h.restart()
	h.refused(request("d", "rollback", ``), refusal.ConcurrencyLimited, "limit few")
	h.word("a", "bob", false)
	h.until("a", v1alpha1.PhaseRefused)
	h.ask(request("e", "rollback", ``)) // a refusal gave the place back
	h.until("e", v1alpha1.PhaseAwaitingApproval)
	h.refused(request("f", "rollback", ``), refusal.ConcurrencyLimited, "limit few")
	h.word("b", "bob", true)
	h.answer(h.until("b", v1alpha1.PhaseDispatched))
	h.ask(request("g", "rollback", ``)) // a receipt gave the place back
	h.until("g", v1alpha1.PhaseAwaitingApproval)
}

func TestOfManyAtOnceTheLimitLetsItsNumberThrough(t *testing.T) {
	h := newHub(t)
	h.allow(limited(v1alpha1.PolicyLimit{Name: "few", Concurrent: new(int32(3)), Rate: &v1alpha1.PolicyRate{Requests: 50, Within: "1h"}}))
	var asking sync.WaitGroup
	for i := range 20 {
		asking.Go(func() { h.ask(request(fmt.Sprintf("r%d", i), "rollback", ``)) })
	}
	asking.Wait()
	count := func(phase v1alpha1.Phase) (n int) {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, r := range h.last {
			if got, _ := r.Phase(); got == phase {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return count(v1alpha1.PhaseAwaitingApproval)+count(v1alpha1.PhaseRefused) == 20 }, 20*time.Second, 5*time.Millisecond)
	require.Equal(t, 3, count(v1alpha1.PhaseAwaitingApproval))
}

func TestABlastRadiusBoundsTheClusters(t *testing.T) {
	h := newHub(t) // of four clusters
	h.allow(shop(func(s *v1alpha1.ActionPolicySpec) {
		s.BlastRadius = &v1alpha1.BlastRadius{MaxClustersPercent: new(int32(49))}
	}))
	north := func(id string) gateway.Request {
		r := request(id, "rollback", ``)
		r.Cluster = "north"
		return r
	}
	h.ask(north("a"))
	h.until("a", v1alpha1.PhaseAwaitingApproval)
	h.refused(request("b", "rollback", ``), refusal.BlastRadius, "under way in 1 of 4 clusters, at most 49 % are allowed")
	h.ask(north("c"))
	h.until("c", v1alpha1.PhaseAwaitingApproval)
	h.allow(shop(func(s *v1alpha1.ActionPolicySpec) {
		s.BlastRadius = &v1alpha1.BlastRadius{MaxClustersPercent: new(int32(50))}
	}))
	h.ask(request("d", "rollback", ``))
	h.until("d", v1alpha1.PhaseAwaitingApproval)
}

func TestABaselineTrailsBehind(t *testing.T) {
	h := newHub(t)
	h.allow(shop(func(s *v1alpha1.ActionPolicySpec) {
		s.Scaling = &v1alpha1.PolicyScaling{Baseline: &v1alpha1.PolicyShare{MaxPercent: new(int32(200))}}
	}))
	ask := func(id, replicas string) gateway.Request {
		r := request(id, "scale", `{"replicas":`+replicas+`}`)
		r.Target.Name = "checkout"
		return r
	}
	sees := func(replicas int32) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.facts.Replicas = replicas
	}
	h.ask(ask("a", "6"))
	h.answer(h.until("a", v1alpha1.PhaseDispatched))
	h.until("a", v1alpha1.PhaseSucceeded)
	sees(8) // somebody else scaled it: that moves nothing within the hour
	h.refused(ask("b", "9"), refusal.PolicyDenied, "9 replicas are more than 200 % of the 4 that there were of late")
	h.restart()
	h.refused(ask("c", "9"), refusal.PolicyDenied, "200 % of the 4")
	h.pass(2 * time.Hour)
	h.refused(ask("d", "9"), refusal.PolicyDenied, "200 % of the 4") // the lower one of 4 and 8
	h.pass(2 * time.Hour)
	h.ask(ask("e", "9")) // 4, 8, 8
	h.until("e", v1alpha1.PhaseDispatched)
}

// What waits for approval past the end of its window is refused, though somebody approves it.
func TestAWindowClosesBehindWhatWaits(t *testing.T) {
	h := newHub(t)
	ends := h.clock().UTC().Truncate(time.Minute).Add(30 * time.Minute)
	began := ends.Add(-time.Hour)
	h.allow(shop(func(s *v1alpha1.ActionPolicySpec) {
		s.Windows = []v1alpha1.PolicyWindow{{Schedule: fmt.Sprintf("%d %d * * *", began.Minute(), began.Hour()), Duration: "1h"}}
	}))
	h.ask(request("a", "rollback", ``))
	r := h.until("a", v1alpha1.PhaseAwaitingApproval)
	require.Equal(t, "windows[0]", r.Verdict.Findings[0].Rule)
	h.pass(40 * time.Minute)
	h.word("a", "bob", true)
	r = h.until("a", v1alpha1.PhaseRefused)
	require.Equal(t, refusal.PolicyDenied, r.Refusal.Reason)
	require.Contains(t, r.Refusal.Detail, "outside the windows")
	require.Zero(t, h.signed())
}

// As many different people as a policy demands must agree; who says it twice counts once.
func TestAPolicyDemandsTwoApprovers(t *testing.T) {
	h := newHub(t)
	h.allow(shop(func(s *v1alpha1.ActionPolicySpec) { s.Approvals = 2 }))
	h.ask(request("a", "scale", `{"replicas":5}`))
	r := h.until("a", v1alpha1.PhaseAwaitingApproval)
	h.word("a", "bob", true)
	require.NoError(t, h.gw.Hear(t.Context(), "a", gateway.Word{ID: "again", Approver: "bob", Approve: true, OrderDigest: r.OrderDigest}))
	h.word("a", "alice", true) // who asked
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.last["a"].Words) == 3 && strings.Contains(h.last["a"].Waiting, "1 of 2 have agreed")
	}, 5*time.Second, time.Millisecond)
	require.Zero(t, h.signed())
	h.word("a", "carol", true)
	h.answer(h.until("a", v1alpha1.PhaseDispatched))
	h.until("a", v1alpha1.PhaseSucceeded)
}
