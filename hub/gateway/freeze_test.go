package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/auditlog"
	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/capability"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/gateway"
)

func freezeOf(uid string, scope gateway.Freeze) gateway.Freeze {
	scope.UID, scope.Name, scope.By, scope.Reason, scope.Scope = uid, "f-"+uid, "sam", "the shop burns", "what the test says"
	return scope
}

func (h *hub) freeze(list ...gateway.Freeze) {
	h.t.Helper()
	h.frozen = list
	require.NoError(h.t, h.gw.Freeze(h.t.Context(), list))
}

// heard is what the signed head of a cluster says is frozen.
func (h *hub) heard(cluster string) *bundle.Freezes {
	h.t.Helper()
	raw, err := h.gw.Head(h.t.Context(), cluster, capability.Current)
	require.NoError(h.t, err)
	_, head, no := bundle.OpenHead(raw)
	require.Nil(h.t, no)
	return head.Freezes
}

// frozenLog is what the audit log says of freezes.
func (h *hub) frozenLog() (said []auditlog.Freeze) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.entries {
		if e.Type == auditlog.TypeFreeze {
			said = append(said, *e.Freeze)
		}
	}
	return said
}

func TestAFreezeStopsWhatItsScopeNames(t *testing.T) {
	for name, c := range map[string]struct {
		scope  gateway.Freeze
		frozen bool
	}{
		"all":                 {gateway.Freeze{}, true},
		"its cluster":         {gateway.Freeze{Cluster: "east"}, true},
		"another cluster":     {gateway.Freeze{Cluster: "north"}, false},
		"its agent class":     {gateway.Freeze{AgentClass: "healer"}, true},
		"another agent class": {gateway.Freeze{AgentClass: "other"}, false},
		"its action":          {gateway.Freeze{Action: "scale"}, true},
		"another action":      {gateway.Freeze{Action: "rollback"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.freeze(freezeOf("f", c.scope))
			r := request("a", "scale", `{"replicas":5}`)
			r.AgentClass = "healer"
			h.submit(r)
			if !c.frozen {
				h.until("a", v1alpha1.PhaseDispatched)
				return
			}
			got := h.until("a", v1alpha1.PhaseRefused)
			require.Equal(t, refusal.Frozen, got.Refusal.Reason)
			require.Equal(t, "freeze f-f of sam, until it is thawed: the shop burns; ask again then", got.Refusal.Detail)
			require.Equal(t, []auditlog.Type{auditlog.TypeRefusal}, h.logged("a"))
			require.Zero(t, h.signed())
		})
	}
}

// A request that waits for its approver is refused the moment that it is frozen; what was signed before is in the heads.
func TestAFreezeFindsWhatIsUnderWay(t *testing.T) {
	h := newHub(t)
	signed := request("s", "scale", `{"replicas":5}`)
	signed.AgentClass = "healer"
	h.submit(signed)
	sent := h.until("s", v1alpha1.PhaseDispatched)
	waits := request("w", "rollback", ``)
	waits.AgentClass = "healer"
	h.submit(waits)
	h.until("w", v1alpha1.PhaseAwaitingApproval)
	before := h.heard("east")
	require.Empty(t, before.Active)

	h.freeze(freezeOf("f", gateway.Freeze{AgentClass: "healer"}))
	require.Equal(t, refusal.Frozen, h.until("w", v1alpha1.PhaseRefused).Refusal.Reason)
	after := h.heard("east")
	require.Greater(t, after.Generation, before.Generation)
	require.Len(t, after.Active, 1)
	require.Equal(t, []string{sent.Bundle.ID}, after.Active[0].Bundles)
	require.Empty(t, h.heard("north").Active[0].Bundles)
	require.NotNil(t, after.Judge(sent.Bundle.ID, "scale", h.clock()))
	require.Nil(t, after.Judge("bundle-other", "scale", h.clock()), "another's")
	require.EqualValues(t, 1, h.signed())

	raw, err := h.gw.Head(t.Context(), "east", 2)
	require.NoError(t, err)
	require.NotContains(t, string(raw), "freezes", "a spoke that knows of none reads its heads strictly")
	_, head, no := bundle.OpenHead(raw)
	require.Nil(t, no)
	require.Nil(t, head.Freezes)
}

// A freeze is on the audit log once, so is its end, and neither a restart nor a second reading says it again. A restart counts on.
func TestFreezesAreOnTheAuditLog(t *testing.T) {
	h := newHub(t)
	until := h.clock().Add(time.Hour)
	east, all := freezeOf("e", gateway.Freeze{Cluster: "east", Until: &until}), freezeOf("a", gateway.Freeze{Action: "scale"})
	h.freeze(east, all)
	generation := h.heard("east").Generation
	h.freeze(all, east)
	require.Equal(t, generation, h.heard("east").Generation, "nothing changed")
	h.restart()
	require.Greater(t, h.heard("east").Generation, generation)
	require.Len(t, h.heard("east").Active, 2)
	require.Len(t, h.heard("north").Active, 1)
	require.Len(t, h.frozenLog(), 2)

	all.Thawed, all.ThawedBy = true, "olga"
	h.freeze(east, all)
	h.mu.Lock()
	h.now = until
	h.mu.Unlock()
	h.freeze(east, all)
	require.Empty(t, h.heard("east").Active)
	log := h.frozenLog()
	require.Len(t, log, 4)
	require.Equal(t, auditlog.Thawed, log[2].State)
	require.Equal(t, "olga", log[2].By)
	require.Equal(t, auditlog.Ended, log[3].State)
	r := request("a", "scale", `{"replicas":5}`)
	h.submit(r)
	h.until("a", v1alpha1.PhaseDispatched)
}

// While it is not known what is frozen nothing is signed and nothing leaves the queue.
func TestNothingLeavesBeforeFreezesAreKnown(t *testing.T) {
	h := newHub(t)
	h.submit(request("a", "scale", `{"replicas":5}`))
	h.until("a", v1alpha1.PhaseDispatched)
	_, _, ok, err := h.gw.Next(t.Context(), "east", 0)
	require.NoError(t, err)
	require.True(t, ok)
	fresh := gateway.New(h.gw.Parts)
	_, _, ok, err = fresh.Next(t.Context(), "east", 0)
	require.NoError(t, err)
	require.False(t, ok)
	require.Nil(t, fresh.Frozen("east"))
}

// What ends credentials is said to spokes that can do so, and only then; where a head cannot say all that is frozen, it ends all.
func TestAFreezeThatEndsCredentials(t *testing.T) {
	h := newHub(t)
	h.freeze(freezeOf("f", gateway.Freeze{AgentClass: "healer", RevokeCredentials: true}))
	require.True(t, h.heard("east").Active[0].RevokeCredentials)
	raw, err := h.gw.Head(t.Context(), "east", capability.Withdrawals-1)
	require.NoError(t, err)
	_, head, no := bundle.OpenHead(raw)
	require.Nil(t, no)
	require.Len(t, head.Freezes.Active, 1)
	require.False(t, head.Freezes.Active[0].RevokeCredentials, "a spoke that does not know it reads its heads strictly")
	require.NotContains(t, string(must(json.Marshal(head))), "revokeCredentials")
	h.restart()
	require.True(t, h.heard("east").Active[0].RevokeCredentials)

	many := make([]gateway.Freeze, 0, 200)
	for i := range 200 {
		one := freezeOf(fmt.Sprintf("f%d", i), gateway.Freeze{Cluster: "east", RevokeCredentials: i == 77})
		one.Reason = strings.Repeat("x", 256)
		many = append(many, one)
	}
	h.freeze(many...)
	require.Equal(t, bundle.Many, h.heard("east").Active[0].Name)
	require.True(t, h.heard("east").Active[0].RevokeCredentials)
}

func must(raw []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return raw
}
