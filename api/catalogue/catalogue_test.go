package catalogue_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
)

func facts(replicas int32) catalogue.Facts {
	return catalogue.Facts{UID: "u1", Generation: 7, ObservedGeneration: 7, Replicas: replicas, ReadyReplicas: replicas, Revision: 3, HealthyRevision: 2}
}

func caseOf(k catalogue.Kind, f catalogue.Facts, parameters string) catalogue.Case {
	return catalogue.Case{Kind: k, Facts: f, Parameters: json.RawMessage(parameters),
		Target: catalogue.Target{APIVersion: k.APIVersion, Kind: k.Kind, Namespace: "shop", Name: "checkout", UID: f.UID}}
}

func TestTiersFollowContent(t *testing.T) {
	none, one := int32(0), int32(1)
	tight, roomy, guarded := facts(3), facts(3), facts(3)
	tight.DisruptionsAllowed, roomy.DisruptionsAllowed, guarded.Protected = &none, &one, true
	for name, tc := range map[string]struct {
		action string
		c      catalogue.Case
		tier   catalogue.Tier
	}{
		"scale within half and five":     {"scale", caseOf(catalogue.Deployment, facts(4), `{"replicas":6}`), catalogue.Low},
		"scale beyond half":              {"scale", caseOf(catalogue.Deployment, facts(4), `{"replicas":7}`), catalogue.Medium},
		"scale beyond five":              {"scale", caseOf(catalogue.Deployment, facts(40), `{"replicas":46}`), catalogue.Medium},
		"scale down by half":             {"scale", caseOf(catalogue.Deployment, facts(4), `{"replicas":2}`), catalogue.Low},
		"scale from zero":                {"scale", caseOf(catalogue.Deployment, facts(0), `{"replicas":1}`), catalogue.Medium},
		"scale to zero":                  {"scale", caseOf(catalogue.Deployment, facts(1), `{"replicas":0}`), catalogue.High},
		"scale a StatefulSet up":         {"scale", caseOf(catalogue.StatefulSet, facts(4), `{"replicas":5}`), catalogue.Low},
		"scale a StatefulSet down":       {"scale", caseOf(catalogue.StatefulSet, facts(4), `{"replicas":3}`), catalogue.High},
		"scale a protected one":          {"scale", caseOf(catalogue.Deployment, guarded, `{"replicas":4}`), catalogue.High},
		"restart of three":               {"rollout-restart", caseOf(catalogue.Deployment, facts(3), ``), catalogue.Low},
		"restart of one":                 {"rollout-restart", caseOf(catalogue.Deployment, facts(1), ``), catalogue.Medium},
		"restart without headroom":       {"rollout-restart", caseOf(catalogue.Deployment, tight, ``), catalogue.Medium},
		"restart with headroom":          {"rollout-restart", caseOf(catalogue.Deployment, roomy, ``), catalogue.Low},
		"rollback":                       {"rollback", caseOf(catalogue.Deployment, facts(3), ``), catalogue.Medium},
		"rollback of a protected target": {"rollback", caseOf(catalogue.Deployment, guarded, ``), catalogue.High},
	} {
		t.Run(name, func(t *testing.T) {
			tier, why := catalogue.Actions()[tc.action].TierOf(tc.c)
			require.Equal(t, tc.tier, tier, why)
			require.NotEmpty(t, why)
		})
	}
}

func TestParametersOutOfSchemaAreRefused(t *testing.T) {
	for action, list := range map[string][]string{
		"scale":           {``, `{}`, `{"replicas":-1}`, `{"replicas":1.5}`, `{"replicas":"3"}`, `{"replicas":10001}`, `{"replicas":1,"x":2}`, `{"replicas":1,"replicas":2}`, `{"Replicas":1}`, `[]`, `{`},
		"rollout-restart": {`{"now":true}`, `3`},
		"rollback":        {`{"revision":0}`, `{"revision":-1}`, `{"revision":"2"}`},
	} {
		for _, parameters := range list {
			require.Error(t, catalogue.Actions()[action].Validate(json.RawMessage(parameters)), "%s %s", action, parameters)
		}
	}
	require.NoError(t, catalogue.Actions()["scale"].Validate(json.RawMessage(`{"replicas":3}`)))
	require.NoError(t, catalogue.Actions()["rollback"].Validate(nil))
	require.NoError(t, catalogue.Actions()["rollback"].Validate(json.RawMessage(`{"revision":2}`)))
}

// Every rule of every action names verbs and resources, never a wildcard, and is bound to the target wherever Kubernetes can.
func TestRulesAreExact(t *testing.T) {
	for _, name := range catalogue.Names() {
		action := catalogue.Actions()[name]
		for _, kind := range action.Kinds {
			for _, rule := range action.Rules(caseOf(kind, facts(3), `{"replicas":4,"signer":"example.org/x"}`)) {
				require.NotContains(t, fmt.Sprint(rule), "*")
				if rule.Resources[0] == "signers" {
					require.Equal(t, []string{"example.org/x"}, rule.ResourceNames)
				} else if rule.Verbs[0] != "list" && (rule.Verbs[0] != "create" || !slices.Contains([]string{"jobs", "networkpolicies"}, rule.Resources[0]) && name != "drain") {
					require.Equal(t, []string{"checkout"}, rule.ResourceNames, "%s %v", name, rule)
				}
			}
		}
	}
}

func change(t *testing.T, action string, c catalogue.Case, read ...string) (catalogue.Change, error) {
	t.Helper()
	raw := make([][]byte, len(read))
	for i := range read {
		raw[i] = []byte(read[i])
	}
	require.Len(t, raw, len(catalogue.Actions()[action].Reads(c)))
	return catalogue.Actions()[action].Change(c, catalogue.Stamp{At: time.Unix(0, 0)}, raw)
}

func TestScaleChangesOnlyWhatWasJudged(t *testing.T) {
	c := caseOf(catalogue.Deployment, facts(3), `{"replicas":4}`)
	got, err := change(t, "scale", c, `{"metadata":{"uid":"u1","resourceVersion":"9"},"spec":{"replicas":3}}`)
	require.NoError(t, err)
	require.Equal(t, "replicas 3 → 4", got.Says)
	require.JSONEq(t, `{"metadata":{"uid":"u1","resourceVersion":"9"},"spec":{"replicas":4}}`, string(got.Body))

	_, err = change(t, "scale", c, `{"metadata":{"uid":"u2"},"spec":{"replicas":3}}`)
	require.ErrorIs(t, err, catalogue.ErrTargetChanged)
	_, err = change(t, "scale", c, `{"metadata":{"uid":"u1"},"spec":{"replicas":5}}`)
	require.ErrorIs(t, err, catalogue.ErrTargetChanged)
	_, err = change(t, "scale", caseOf(catalogue.Deployment, facts(3), `{"replicas":3}`), `{"metadata":{"uid":"u1"},"spec":{"replicas":3}}`)
	require.ErrorIs(t, err, catalogue.ErrNothingToDo)
}

func TestRollbackTakesTheTemplateOfAControlledRevision(t *testing.T) {
	c := caseOf(catalogue.Deployment, facts(3), ``)
	live := `{"metadata":{"uid":"u1","resourceVersion":"9","generation":7}}`
	set := func(owner, revision, image string) string {
		return fmt.Sprintf(`{"metadata":{"annotations":{"deployment.kubernetes.io/revision":%q},"ownerReferences":[{"uid":%q,"controller":true}]},
			"spec":{"template":{"metadata":{"labels":{"app":"a","pod-template-hash":"h"}},"spec":{"image":%q}}}}`, revision, owner, image)
	}
	got, err := change(t, "rollback", c, live, `{"items":[`+set("stranger", "2", "evil")+`,`+set("u1", "2", "good")+`,`+set("u1", "3", "bad")+`]}`)
	require.NoError(t, err)
	require.Contains(t, string(got.Body), `"good"`)
	require.NotContains(t, string(got.Body), "pod-template-hash")
	require.Equal(t, "pod template of revision 3 → revision 2", got.Says)

	_, err = change(t, "rollback", c, live, `{"items":[`+set("stranger", "2", "evil")+`]}`)
	require.ErrorIs(t, err, catalogue.ErrTargetChanged)
	_, err = change(t, "rollback", c, `{"metadata":{"uid":"u1","generation":8}}`, `{"items":[]}`)
	require.ErrorIs(t, err, catalogue.ErrTargetChanged)
	_, err = change(t, "rollback", caseOf(catalogue.Deployment, facts(3), `{"revision":3}`), live, `{"items":[]}`)
	require.ErrorIs(t, err, catalogue.ErrNothingToDo)

	stateful, err := change(t, "rollback", caseOf(catalogue.StatefulSet, facts(3), ``), live,
		`{"items":[{"metadata":{"ownerReferences":[{"uid":"u1","controller":true}]},"revision":2,"data":{"spec":{"template":{"$patch":"replace","spec":{"image":"good"}}}}}]}`)
	require.NoError(t, err)
	require.NotContains(t, string(stateful.Body), "$patch")
	require.Contains(t, string(stateful.Body), "good")
}

func TestPredictionsAreCheckable(t *testing.T) {
	p := catalogue.Actions()["scale"].Predict(caseOf(catalogue.Deployment, facts(3), `{"replicas":4}`))
	after := facts(4)
	held, _ := p.Holds(after)
	require.False(t, held, "the generation of the judgement does not count")
	after.Generation, after.ObservedGeneration = 8, 8
	held, seen := p.Holds(after)
	require.True(t, held, seen)
	after.ObservedGeneration = 7
	held, _ = p.Holds(after)
	require.False(t, held, "nothing counts before the controller has seen it")
}

func TestInversesPutBack(t *testing.T) {
	undo := catalogue.Actions()["scale"].Inverse(caseOf(catalogue.Deployment, facts(3), `{"replicas":4}`))
	require.JSONEq(t, `{"replicas":3}`, string(undo.Parameters))
	undo = catalogue.Actions()["rollback"].Inverse(caseOf(catalogue.Deployment, facts(3), ``))
	require.JSONEq(t, `{"revision":3}`, string(undo.Parameters))
	require.Nil(t, catalogue.Actions()["rollout-restart"].Inverse(caseOf(catalogue.Deployment, facts(3), ``)))
}
