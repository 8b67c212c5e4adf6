package catalogue_test

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
)

const brokenPod = `{"kind":"Pod","metadata":{"name":"checkout","uid":"u1","labels":{"app":"a"},
	"annotations":{"kubectl.kubernetes.io/last-applied-configuration":"hunter2"}},
	"spec":{"nodeName":"n1","volumes":[{"secret":{"secretName":"hunter2"}}],"containers":[{"name":"main","image":"a:1","command":["x","--key","hunter2"],
	"env":[{"name":"DB_PASSWORD","value":"swordfish"}]}],"initContainers":[{"name":"init","image":"a:1"}]},
	"status":{"phase":"Running","conditions":[{"type":"Ready","status":"False","message":"swordfish"}],
	"containerStatuses":[{"name":"main","restartCount":7,"lastState":{"terminated":{"exitCode":137,"reason":"OOMKilled"}}}]}}`

func TestAnArtefactTellsWhatIsWrongAndNoSecret(t *testing.T) {
	c, err := judged(t, "collect-diagnostics", catalogue.Pod, `{"tailLines":5}`, brokenPod)
	require.NoError(t, err)
	action := catalogue.Actions()["collect-diagnostics"]
	reads := action.Collects(c)
	require.Len(t, reads, 3, "events, and two logs")
	require.Equal(t, map[string]string{"container": "main", "tailLines": "5", "limitBytes": "262144"}, reads[1].Query)
	long := strings.Repeat("a line of no use\n", 4000)
	artefact := string(action.Artefact(c, []byte(brokenPod), []catalogue.Found{
		{Raw: []byte(`{"items":[{"lastTimestamp":"2026-11-25T10:00:00Z","type":"Warning","reason":"BackOff","message":"back-off\nrestarting token=abcdef",
			"count":9,"involvedObject":{"kind":"Pod","name":"checkout"}}]}`)},
		{Raw: []byte(long + "connecting with swordfish\nAuthorization: Bearer abc.def\n\x1b[2J\x00\u202epanic: out of memory\xff\n")},
		{Problem: "container init is waiting to start"},
	}))
	for _, told := range []string{"== pod/shop/checkout\n", `"restartCount": 7`, `"reason": "OOMKilled"`, `"name": "DB_PASSWORD"`, "== log of checkout/main, the last 5 lines\n",
		"2026-11-25T10:00:00Z Warning BackOff pod/checkout ×9: back-off restarting token=[redacted]", "connecting with [redacted]", "panic: out of memory",
		"not there: container init is waiting to start"} {
		require.Contains(t, artefact, told)
	}
	for _, hidden := range []string{"hunter2", "swordfish", "abc.def", "abcdef", "\x1b", "\x00", "\u202e"} {
		require.NotContains(t, artefact, hidden)
	}
	require.LessOrEqual(t, len(artefact), catalogue.MaxArtefact)
	require.True(t, utf8.ValidString(artefact))
}

// Whatever a cluster says, an artefact is text of a bounded length.
func TestAnArtefactIsBounded(t *testing.T) {
	pods := `{"items":[`
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		pods += strings.ReplaceAll(strings.ReplaceAll(brokenPod, `"checkout"`, `"`+name+`"`), `"u1"`, `"u-`+name+`"`) + ","
	}
	pods = strings.TrimSuffix(pods, ",") + `]}`
	c, err := judged(t, "collect-diagnostics", catalogue.Deployment, `{}`, workload, pods)
	require.NoError(t, err)
	action := catalogue.Actions()["collect-diagnostics"]
	found := make([]catalogue.Found, len(action.Collects(c)))
	for i := range found {
		found[i].Raw = []byte(strings.Repeat("ä\xff", 1<<20))
	}
	artefact := action.Artefact(c, []byte(strings.Repeat("[", 100_000)), found)
	require.LessOrEqual(t, len(artefact), catalogue.MaxArtefact)
	require.True(t, utf8.Valid(artefact))
}

// A credential is for the pods that were seen, those that are not ready first, and for no others.
func TestDiagnosticsAreOfThePodsThatWereSeen(t *testing.T) {
	ready := strings.Replace(brokenPod, `"status":"False"`, `"status":"True"`, 1)
	pods := `{"items":[` + strings.Replace(ready, `"checkout"`, `"a"`, 1) + `,` + strings.Replace(brokenPod, `"checkout"`, `"z"`, 1) + `,` +
		strings.Replace(ready, `"checkout"`, `"b"`, 1) + `,` + strings.Replace(ready, `"checkout"`, `"c"`, 1) + `]}`
	c, err := judged(t, "collect-diagnostics", catalogue.Deployment, `{}`, workload, pods)
	require.NoError(t, err)
	raw, err := json.Marshal(catalogue.Actions()["collect-diagnostics"].Rules(c))
	require.NoError(t, err)
	require.JSONEq(t, `[{"verbs":["get"],"apiGroups":["apps"],"resources":["deployments"],"resourceNames":["checkout"]},
		{"verbs":["get"],"apiGroups":[""],"resources":["pods"],"resourceNames":["z","a","b"]},
		{"verbs":["get"],"apiGroups":[""],"resources":["pods/log"],"resourceNames":["z","a","b"]},
		{"verbs":["list"],"apiGroups":[""],"resources":["events"]}]`, string(raw))

	c, err = judged(t, "collect-diagnostics", catalogue.Deployment, `{}`, workload, none)
	require.NoError(t, err)
	raw, err = json.Marshal(catalogue.Actions()["collect-diagnostics"].Rules(c))
	require.NoError(t, err)
	require.NotContains(t, string(raw), `"pods`, "without pods, no right on any")
}
