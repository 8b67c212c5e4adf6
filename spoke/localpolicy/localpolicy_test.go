package localpolicy

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
)

const policy = `
rules:
  - actions: [scale]
    namespaces: [shop, "team-*"]
    kinds: [Deployment]
    maxTier: medium
    maxReplicas: 50
  - actions: ["*"]
    namespaces: [shop]
`

func order(action, kind, namespace, parameters string) bundle.Order {
	return bundle.Order{Action: action, Tier: catalogue.Low, Parameters: json.RawMessage(parameters),
		Target: catalogue.Target{APIVersion: "apps/v1", Kind: kind, Namespace: namespace, Name: "web"}}
}

func TestAllow(t *testing.T) {
	rules, err := Parse([]byte(policy))
	require.NoError(t, err)
	raised := order("scale", "Deployment", "team-a", `{"replicas":5}`)
	raised.Tier = catalogue.High
	cases := []struct {
		name   string
		order  bundle.Order
		floor  catalogue.Tier
		denied string // part of the detail; empty where allowed
	}{
		{"named", order("scale", "Deployment", "shop", `{"replicas":50}`), catalogue.Medium, ""},
		{"pattern", order("scale", "Deployment", "team-a", `{"replicas":1}`), catalogue.Low, ""},
		{"any action, default tier", order("rollout-restart", "DaemonSet", "shop", ""), catalogue.Low, ""},
		{"default tier is low", order("rollback", "Deployment", "shop", ""), catalogue.Medium, "rules[1] allows tier low at most"},
		{"too many replicas", order("scale", "Deployment", "team-a", `{"replicas":51}`), catalogue.Medium, "50 replicas at most, 51"},
		{"replicas unsaid", order("scale", "Deployment", "team-a", `{}`), catalogue.Low, "does not say how many"},
		{"other kind", order("scale", "StatefulSet", "team-a", `{"replicas":1}`), catalogue.Low, "no rule names it"},
		{"other namespace", order("scale", "Deployment", "kube-system", `{"replicas":1}`), catalogue.Low, "no rule names it"},
		{"floor too high", order("scale", "Deployment", "team-a", `{"replicas":0}`), catalogue.High, "this is high"},
		{"order says higher than floor", raised, catalogue.Low, "this is high"},
		{"unknown tier counts as low at least", order("scale", "Deployment", "team-a", `{"replicas":1}`), "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			no := rules.Allow(c.order, c.floor)
			if c.denied == "" {
				require.Nil(t, no)
				return
			}
			require.NotNil(t, no)
			require.Equal(t, refusal.LocalPolicyDenied, no.Reason)
			require.Contains(t, no.Detail, c.denied)
		})
	}
	require.NotNil(t, Rules{}.Allow(order("scale", "Deployment", "shop", `{"replicas":1}`), catalogue.Low))
}

func TestParseIsStrict(t *testing.T) {
	for name, c := range map[string]struct{ text, says string }{
		"unknown field":    {"rules: [{actions: [scale], namespaces: [a], allow: true}]", "unknown field"},
		"case variant":     {"Rules: [{actions: [scale], namespaces: [a]}]", "unknown field"},
		"duplicate field":  {"rules: []\nrules: []", "already set"},
		"unknown action":   {"rules: [{actions: [delete], namespaces: [a]}]", "not in the catalogue"},
		"unknown tier":     {"rules: [{actions: [scale], namespaces: [a], maxTier: extreme}]", "maxTier"},
		"unknown kind":     {"rules: [{actions: [scale], namespaces: [a], kinds: [Secret]}]", "kinds"},
		"bad pattern":      {`rules: [{actions: [scale], namespaces: ["[a"]}]`, "no pattern"},
		"no namespaces":    {"rules: [{actions: [scale]}]", "at least one"},
		"no actions":       {"rules: [{namespaces: [a]}]", "at least one"},
		"negative bound":   {"rules: [{actions: [scale], namespaces: [a], maxReplicas: -1}]", "below 0"},
		"not a policy":     {"just words", "cannot unmarshal"},
		"larger than told": {strings.Repeat("#", maxFile+1), "longer"},
	} {
		t.Run(name, func(t *testing.T) {
			rules, err := Parse([]byte(c.text))
			require.ErrorContains(t, err, c.says)
			require.Empty(t, rules.Rules)
		})
	}
}

func TestFileIsFollowedAndNeverLoosenedByMistake(t *testing.T) {
	var lines bytes.Buffer
	path := filepath.Join(t.TempDir(), "policy.yaml")
	f := Open(path, slog.New(slog.NewTextHandler(&lines, nil)))
	asked := order("scale", "Deployment", "shop", `{"replicas":1}`)
	allowed := func() bool { return f.Allow(asked, catalogue.Low) == nil }
	write := func(text string) {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		f.look()
		f.look()
	}
	require.False(t, allowed(), "no file denies")
	write(policy)
	require.True(t, allowed())
	write("rules: [{}]")
	require.True(t, allowed(), "a broken file keeps the last good one")
	write("rules: []")
	require.False(t, allowed(), "a new good file counts")
	write("rules: [{}]")
	require.False(t, allowed())
	write(policy)
	require.NoError(t, os.Remove(path))
	f.look()
	f.look()
	require.False(t, allowed(), "a file taken away denies")
	require.Equal(t, 7, strings.Count(lines.String(), "\n"), "one line a change:\n%s", lines.String())
}

func TestRunNoticesAChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	f := Open(path, slog.New(slog.DiscardHandler))
	f.every = time.Millisecond
	ended := make(chan error, 1)
	go func() { ended <- f.Run(t.Context()) }()
	require.NoError(t, os.WriteFile(path, []byte(policy), 0o600))
	require.Eventually(t, func() bool {
		return f.Allow(order("scale", "Deployment", "shop", `{"replicas":1}`), catalogue.Low) == nil
	}, 5*time.Second, time.Millisecond)
}
