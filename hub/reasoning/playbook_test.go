package reasoning_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/signal"
	"github.com/writ-dev/writ/hub/reasoning"
)

const playbook = `apiVersion: writ.dev/v1alpha1
kind: Playbook
metadata:
  name: roll-back-broken-rollouts
spec:
  signals: [DeploymentNotProgressing]
  when: signal.values.cause in ["ImagePullFailed", "ContainerCrashing"] && int(signal.values.revision) > 1
  propose:
    action: rollback
  cooldown: 15m
  summary: the new revision does not run; go back to the last one that did
`

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// broken is a signal about a rollout; edit it for other ones.
func broken(uid string) signal.Signal {
	fingerprint := signal.Fingerprint(signal.DeploymentNotProgressing, uid, 2, "ImagePullFailed")
	return signal.Signal{ID: signal.IDOf(fingerprint), Fingerprint: fingerprint, Cluster: "east", Reason: signal.DeploymentNotProgressing,
		Object:   signal.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout", UID: uid},
		Severity: signal.Warning, FirstSeen: now, LastSeen: now, Count: 1,
		Values:      map[string]string{"cause": "ImagePullFailed", "revision": "2"},
		Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
}

func parse(t *testing.T, text string) *reasoning.Playbook {
	t.Helper()
	p, err := reasoning.Parse([]byte(text))
	require.NoError(t, err)
	return p
}

func TestParseIsStrict(t *testing.T) {
	for name, c := range map[string]struct{ old, new, says string }{
		"unknown field":      {"  cooldown:", "  cooldwn:", "unknown field"},
		"case variant":       {"  cooldown:", "  Cooldown:", "unknown field"},
		"duplicate field":    {"  cooldown: 15m", "  cooldown: 15m\n  cooldown: 1h", "already set"},
		"other kind":         {"kind: Playbook", "kind: Policy", "not a Playbook"},
		"other version":      {"v1alpha1", "v1", "not a Playbook"},
		"name":               {"roll-back-broken-rollouts", "Roll back", "metadata.name"},
		"no signals":         {"[DeploymentNotProgressing]", "[]", "spec.signals"},
		"unknown signal":     {"[DeploymentNotProgressing]", "[Anything]", "spec.signals"},
		"unknown action":     {"action: rollback", "action: delete-everything", "spec.propose.action"},
		"unknown parameter":  {"action: rollback", "action: rollback\n    parameters: {force: true}", "spec.propose.parameters"},
		"parameter too low":  {"action: rollback", "action: rollback\n    parameters: {revision: 0}", "spec.propose.parameters"},
		"cooldown":           {"15m", "soon", "spec.cooldown"},
		"cooldown too short": {"15m", "1s", "spec.cooldown"},
		"no summary":         {"summary: the", "summary: # the", "spec.summary"},
		"syntax":             {"when: signal", "when: signal signal", "1:8"},
		"unknown value":      {"signal.values.cause", "signal.valus.cause", "undefined field 'valus'"},
		"unknown variable":   {"signal.values.cause", "event.cause", "undeclared reference"},
		"no condition":       {"when: signal", "when: 1 + 1 #", "not true or false"},
		"too long":           {"summary:", strings.Repeat("#", 64<<10), "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(playbook, c.old, c.new, 1)
			require.NotEqual(t, playbook, text)
			_, err := reasoning.Parse([]byte(text))
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestMatches(t *testing.T) {
	with := func(when string) *reasoning.Playbook {
		return parse(t, strings.Replace(playbook, `signal.values.cause in ["ImagePullFailed", "ContainerCrashing"] && int(signal.values.revision) > 1`, strconv.Quote(when), 1))
	}
	cases := []struct {
		name string
		when string
		edit func(*signal.Signal)
		want bool
		err  string
	}{
		{"as written", `signal.values.cause == "ImagePullFailed" && int(signal.values.revision) > 1`, nil, true, ""},
		{"another cause", `signal.values.cause == "ImagePullFailed"`, func(s *signal.Signal) { s.Values["cause"] = "x" }, false, ""},
		{"first revision", `int(signal.values.revision) > 1`, func(s *signal.Signal) { s.Values["revision"] = "1" }, false, ""},
		{"fields", `signal.cluster == "east" && signal.object.namespace.startsWith("sho") && signal.severity != "critical" && signal.count >= 1u`, nil, true, ""},
		{"reason and times", `signal.reason == "DeploymentNotProgressing" && signal.lastSeen - signal.firstSeen < duration("1m")`, nil, true, ""},
		{"missing value", `signal.values.unheard == "x"`, nil, false, "no such key"},
		{"has", `has(signal.values.unheard)`, nil, false, ""},
		{"no number", `int(signal.values.cause) > 1`, nil, false, "spec.when"},
		{"too costly", `[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, a+b+c+d > 0))))`, nil, false, "cost"},
		{"a kind that cannot be rolled back", "true", func(s *signal.Signal) { s.Object.Kind = "ReplicaSet" }, false, ""},
		{"another reason", "true", func(s *signal.Signal) { s.Reason = "Other" }, false, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := broken("u1")
			if c.edit != nil {
				c.edit(&s)
			}
			got, err := with(c.when).Matches(s)
			require.Equal(t, c.want, got, "%v", err)
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, c.err)
			}
		})
	}
}
