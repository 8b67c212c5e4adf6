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
  - actions: [adjust-hpa]
    namespaces: [autoscaled]
    maxReplicas: 50
  - actions: ["*"]
    namespaces: [shop]
`

// noon is on a Monday.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func order(action, kind, namespace, parameters string) bundle.Order {
	return bundle.Order{Action: action, Tier: catalogue.Low, Parameters: json.RawMessage(parameters),
		Target: catalogue.Target{APIVersion: "apps/v1", Kind: kind, Namespace: namespace, Name: "web"}}
}

func autoscaling(parameters string) bundle.Order {
	o := order("adjust-hpa", "HorizontalPodAutoscaler", "autoscaled", parameters)
	o.Observed.State = []byte(`{"min":1,"max":10}`)
	return o
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
		{"default tier is low", order("rollback", "Deployment", "shop", ""), catalogue.Medium, "rules[2] allows tier low at most"},
		{"too many pods of an autoscaler", autoscaling(`{"max":51}`), catalogue.Low, "51 replicas are asked for, at most 50"},
		{"as many pods as are allowed", autoscaling(`{"max":50}`), catalogue.Low, ""},
		{"too many replicas", order("scale", "Deployment", "team-a", `{"replicas":51}`), catalogue.Medium, "51 replicas are asked for, at most 50"},
		{"replicas unsaid", order("scale", "Deployment", "team-a", `{}`), catalogue.Low, "does not say how many"},
		{"other kind", order("scale", "StatefulSet", "team-a", `{"replicas":1}`), catalogue.Low, "no rule names it"},
		{"other namespace", order("scale", "Deployment", "kube-system", `{"replicas":1}`), catalogue.Low, "no rule names it"},
		{"floor too high", order("scale", "Deployment", "team-a", `{"replicas":0}`), catalogue.High, "this is high"},
		{"order says higher than floor", raised, catalogue.Low, "this is high"},
		{"unknown tier counts as low at least", order("scale", "Deployment", "team-a", `{"replicas":1}`), "", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			no := rules.Allow(c.order, c.floor, noon)
			if c.denied == "" {
				require.Nil(t, no)
				return
			}
			require.NotNil(t, no)
			require.Equal(t, refusal.LocalPolicyDenied, no.Reason)
			require.Contains(t, no.Detail, c.denied)
		})
	}
	require.NotNil(t, Rules{}.Allow(order("scale", "Deployment", "shop", `{"replicas":1}`), catalogue.Low, noon))
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
		"negative share":   {"rules: [{actions: [scale], namespaces: [a], current: {maxPercent: -1}}]", "below 0"},
		"least above most": {"rules: [{actions: [scale], namespaces: [a], minReplicas: 3, maxReplicas: 2}]", "above maxReplicas"},
		"no such zone":     {`rules: [{actions: [scale], namespaces: [a], windows: [{schedule: "0 9 * * *", duration: 1h, timeZone: Mars}]}]`, "windows[0].timeZone"},
		"no such day":      {`rules: [{actions: [scale], namespaces: [a], windows: [{schedule: "0 9 * * 9", duration: 1h}]}]`, "windows[0].schedule"},
		"bad blackout":     {"blackouts: [{reason: x, from: today, until: tomorrow}]\nrules: []", "blackouts[0].from"},
		"mute blackout":    {`blackouts: [{from: "2026-12-20T00:00:00Z", until: "2027-01-03T00:00:00Z"}]` + "\nrules: []", "blackouts[0].reason"},
		"lowered to high":  {"rules: [{actions: [scale], namespaces: [a], lowerTierTo: high}]", "neither low nor medium"},
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
	allowed := func() bool { return f.Allow(asked, catalogue.Low, noon) == nil }
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
		return f.Allow(order("scale", "Deployment", "shop", `{"replicas":1}`), catalogue.Low, noon) == nil
	}, 5*time.Second, time.Millisecond)
}

func TestBounds(t *testing.T) {
	rules, err := Parse([]byte(`
blackouts: [{reason: year's end, from: "2026-12-20T00:00:00Z", until: "2027-01-03T00:00:00Z"}]
rules:
  - actions: [scale]
    namespaces: [shop]
    maxTier: high
    minReplicas: 2
    current: {minPercent: 50, maxPercent: 200}
    maxPodsPercent: 40
    honourDisruptionBudgets: true
    windows: [{schedule: "0 9 * * 1-5", duration: 8h, timeZone: Europe/Berlin}]
`))
	require.NoError(t, err)
	scale := func(replicas string, now int32, allowed ...int32) bundle.Order {
		o := order("scale", "Deployment", "shop", `{"replicas":`+replicas+`}`)
		o.Observed.Replicas = now
		if len(allowed) > 0 {
			o.Observed.DisruptionsAllowed = &allowed[0]
		}
		return o
	}
	for name, c := range map[string]struct {
		order  bundle.Order
		at     time.Time
		denied string
	}{
		"within all":           {scale("12", 6), noon, ""},
		"too few":              {scale("1", 2), noon, "at least 2 are allowed"},
		"more than doubled":    {scale("13", 6), noon, "more than 200 % of the 6"},
		"less than half":       {scale("4", 10), noon, "less than 50 % of the 10"},
		"too many pods":        {scale("5", 10), noon, "touches 5 of 10 pods, at most 40 %"},
		"no room":              {scale("8", 10, 1), noon, "needs room for 2 pods, the PodDisruptionBudget leaves 1"},
		"room":                 {scale("8", 10, 2), noon, ""},
		"before the window":    {scale("12", 6), noon.Add(-5 * time.Hour), "outside its windows"},
		"as it opens":          {scale("12", 6), noon.Add(-4 * time.Hour), ""},
		"as it closes":         {scale("12", 6), noon.Add(4 * time.Hour), "outside its windows"},
		"on Saturday":          {scale("12", 6), noon.AddDate(0, 0, 5), "outside its windows"},
		"in the blackout":      {scale("12", 6), noon.AddDate(0, 0, 28), "blackouts[0]: year's end"},
		"no parameters at all": {scale("null", 6), noon, "does not say how many"},
	} {
		t.Run(name, func(t *testing.T) {
			no := rules.Allow(c.order, catalogue.Low, c.at)
			if c.denied == "" {
				require.Nil(t, no)
				return
			}
			require.NotNil(t, no)
			require.Contains(t, no.Detail, c.denied)
		})
	}
}

func TestTheAdminAgreesToALowerTier(t *testing.T) {
	rules, err := Parse([]byte(`
rules:
  - {actions: [rollback], namespaces: [staging], lowerTierTo: low}
  - {actions: ["*"], namespaces: [staging, shop], maxTier: high}
  - {actions: [scale], namespaces: [staging], maxReplicas: 5, lowerTierTo: medium, maxTier: medium}
`))
	require.NoError(t, err)
	medium := func(o bundle.Order) bundle.Order { o.Tier = catalogue.Medium; return o }
	for name, c := range map[string]struct {
		order bundle.Order
		to    catalogue.Tier
	}{
		"agreed":                     {order("rollback", "Deployment", "staging", "{}"), catalogue.Low},
		"not in another namespace":   {order("rollback", "Deployment", "shop", "{}"), ""},
		"not by a rule that objects": {medium(order("rollback", "Deployment", "staging", "{}")), ""},
		"agreed to medium":           {medium(order("scale", "Deployment", "staging", `{"replicas":5}`)), catalogue.Medium},
		"not beyond its bounds":      {medium(order("scale", "Deployment", "staging", `{"replicas":6}`)), ""},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.to, rules.Lowers(c.order, noon)) })
	}
}
