package hub_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/internal/world/worldtest"
)

// rolloutWith is a good rollout, with parts of its spec replaced.
func rolloutWith(t *testing.T, namespace, name, parts string) *unstructured.Unstructured {
	t.Helper()
	spec := map[string]any{}
	for _, text := range []string{`{"request":{"action":"scale","parameters":{"replicas":4},
		"target":{"apiVersion":"apps/v1","kind":"Deployment","namespace":"shop","name":"checkout"}},
		"selector":{"matchLabels":{"env":"prod"}},"waves":[{"canary":1},{"percent":25},{"percent":100}]}`, parts} {
		require.NoError(t, json.Unmarshal([]byte(text), &spec))
	}
	return object("Rollout", namespace, name, spec)
}

func TestBadRolloutsAreRefused(t *testing.T) {
	w := prepared(t)
	namespace := worldtest.Namespace(t, w.Cluster)
	alice := w.as(t, "alice")
	for name, tc := range map[string]struct{ named, parts, says string }{
		"an empty selector":      {"", `{"selector":{}}`, "by names or by matchLabels"},
		"no names":               {"", `{"selector":{"names":[]}}`, "spec.selector.names"},
		"no labels":              {"", `{"selector":{"matchLabels":{}}}`, "spec.selector.matchLabels"},
		"names and labels":       {"", `{"selector":{"names":["a"],"matchLabels":{"a":"b"}}}`, "one of the two"},
		"a name that is none":    {"", `{"selector":{"names":["East_1"]}}`, "spec.selector.names[0]"},
		"a name twice":           {"", `{"selector":{"names":["a","a"]}}`, "Duplicate value"},
		"no waves":               {"", `{"waves":[]}`, "spec.waves"},
		"percent 0":              {"", `{"waves":[{"percent":0}]}`, "spec.waves[0].percent"},
		"percent 101":            {"", `{"waves":[{"percent":101}]}`, "spec.waves[0].percent"},
		"percent -1":             {"", `{"waves":[{"percent":-1}]}`, "spec.waves[0].percent"},
		"percent is text":        {"", `{"waves":[{"percent":"25%"}]}`, "spec.waves[0].percent"},
		"count 0":                {"", `{"waves":[{"count":0}]}`, "spec.waves[0].count"},
		"canary 0":               {"", `{"waves":[{"canary":0}]}`, "spec.waves[0].canary"},
		"a wave of nothing":      {"", `{"waves":[{}]}`, "one of canary, percent and count"},
		"a wave of two things":   {"", `{"waves":[{"percent":5,"count":5}]}`, "one of canary, percent and count"},
		"overlapping":            {"", `{"waves":[{"percent":50},{"percent":25}]}`, "overlap"},
		"the same twice":         {"", `{"waves":[{"percent":50},{"percent":50}]}`, "overlap"},
		"after all":              {"", `{"waves":[{"percent":100},{"count":1}]}`, "nothing is left"},
		"a late canary":          {"", `{"waves":[{"count":1},{"canary":1}]}`, "a canary is the first wave"},
		"two canaries":           {"", `{"waves":[{"canary":1},{"canary":1}]}`, "a canary is the first wave"},
		"fewer than no failures": {"", `{"maxFailures":-1}`, "spec.maxFailures"},
		"a pause of nothing":     {"", `{"pause":""}`, "spec.pause"},
		"a pause of words":       {"", `{"pause":"a while"}`, "spec.pause"},
		"a pause backwards":      {"", `{"pause":"-5m"}`, "a pause lasts from"},
		"a pause of a month":     {"", `{"pause":"720h"}`, "a pause lasts from"},
		"what else on failure":   {"", `{"onFailure":"retry"}`, "spec.onFailure"},
		"a field unknown":        {"", `{"parallel":3}`, `unknown field "spec.parallel"`},
		"no action":              {"", `{"request":{"target":{}}}`, "spec.request.action"},
		"parameters no object":   {"", `{"request":{"action":"scale","parameters":3}}`, "spec.request.parameters"},
		"a name with a dot":      {"r.east", `{}`, "a rollout's name is a DNS label"},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.named == "" {
				tc.named = "bad"
			}
			err := alice.Create(t.Context(), rolloutWith(t, namespace, tc.named, tc.parts), client.FieldValidation(metav1.FieldValidationStrict))
			require.ErrorContains(t, err, tc.says)
		})
	}
	w.requireNone(t, "Rollout", namespace)
}

func TestARolloutStaysWhatItWas(t *testing.T) {
	w := prepared(t)
	namespace := worldtest.Namespace(t, w.Cluster)
	alice := w.as(t, "alice")
	r := rolloutWith(t, namespace, "r", `{"requester":"bob","agentClass":"healer"}`)
	require.NoError(t, alice.Create(t.Context(), r))
	require.Equal(t, "alice", field(t, r, "requester"), "nobody writes another's name")
	require.Empty(t, field(t, r, "agentClass"))
	require.Equal(t, "stop", field(t, r, "onFailure"))
	change := func(patch string) error {
		return alice.Patch(t.Context(), r.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"spec":`+patch+`}`)))
	}
	for name, patch := range map[string]string{
		"the action":           `{"request":{"action":"rollback"}}`,
		"a parameter":          `{"request":{"parameters":{"replicas":40}}}`,
		"a parameter more":     `{"request":{"parameters":{"force":true}}}`,
		"parameters taken out": `{"request":{"parameters":null}}`,
		"the target":           `{"request":{"target":{"name":"billing"}}}`,
		"the reason":           `{"request":{"reason":"other"}}`,
		"the selector":         `{"selector":{"matchLabels":{"env":"lab"}}}`,
		"a label more":         `{"selector":{"matchLabels":{"region":"w"}}}`,
		"the waves":            `{"waves":[{"percent":100}]}`,
		"the failures allowed": `{"maxFailures":100}`,
		"the pause":            `{"pause":"1m"}`,
		"what failure means":   `{"onFailure":"undo"}`,
		"who asked":            `{"requester":"bob"}`,
		"nobody asked":         `{"requester":null}`,
		"an agent asked":       `{"agentClass":"healer"}`,
	} {
		t.Run(name, func(t *testing.T) { require.Error(t, change(patch)) })
	}
	now := r.DeepCopy()
	require.NoError(t, alice.Get(t.Context(), client.ObjectKeyFromObject(r), now))
	require.Equal(t, r.Object["spec"], now.Object["spec"])
	require.NoError(t, change(`{"paused":true}`))
	require.NoError(t, change(`{"paused":false}`))
	require.NoError(t, change(`{"aborted":true}`))
	require.ErrorContains(t, change(`{"aborted":false}`), "stays aborted")
}

// The hub asks in another's stead and in no other case, and nobody else does.
func TestWhoAsksInAnothersStead(t *testing.T) {
	w := prepared(t)
	namespace := worldtest.Namespace(t, w.Cluster)
	path, err := w.KubeconfigForServiceAccount(t.Context(), "writ-system", "writ-hub", time.Hour)
	require.NoError(t, err)
	hub := w.client(t, path)
	of := map[string]any{"name": "r", "uid": "u"}
	for name, tc := range map[string]struct {
		client client.Client
		object *unstructured.Unstructured
		says   string
	}{
		"a person, for a rollout":     {w.as(t, "alice"), request(namespace, "r1", "rollout", of), "written by the hub"},
		"a person, as an undo":        {w.as(t, "alice"), request(namespace, "r2", "undoes", of), "written by the hub"},
		"an agent, for a rollout":     {w.agent(t, "scaler"), request("writ-agent-scaler", "r3", "rollout", of), "written by the hub"},
		"an administrator":            {w.admin, request(namespace, "r4", "rollout", of), "written by the hub"},
		"the hub, for nobody":         {hub, request(namespace, "r5"), "asks for nothing of its own"},
		"a name that the hub gives":   {w.as(t, "alice"), request(namespace, "r.east"), "a name with a dot"},
		"the name of an agent's undo": {w.agent(t, "scaler"), request("writ-agent-scaler", "r3.undo"), "a name with a dot"},
	} {
		t.Run(name, func(t *testing.T) { require.ErrorContains(t, tc.client.Create(t.Context(), tc.object), tc.says) })
	}
	w.requireNone(t, "ActionRequest", namespace)
	generated := request(namespace, "")
	generated.SetGenerateName("a.b-")
	require.ErrorContains(t, w.as(t, "alice").Create(t.Context(), generated), "a name with a dot")

	made := request(namespace, "r.east", "rollout", of, "requester", "alice")
	require.NoError(t, hub.Create(t.Context(), made))
	require.Equal(t, "system:serviceaccount:writ-system:writ-hub", field(t, made, "requester"), "not even the hub writes another's name")
	require.Error(t, hub.Create(t.Context(), rolloutWith(t, namespace, "r", `{}`)), "a rollout is asked for by people")
}
