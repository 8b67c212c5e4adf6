package catalogue_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
)

const (
	sick = `{"metadata":{"uid":"u1","resourceVersion":"9","labels":{"app":"a","tier":"front"},"annotations":{"note":"x"}},"status":{"phase":"Running"}}`
	// slice has the pod u1 among its endpoints.
	slice    = `{"items":[{"endpoints":[{"targetRef":{"uid":"u0"}},{"targetRef":{"uid":"u1"}}]}]}`
	services = `{"items":[{"spec":{"selector":{"app":"a","tier":"front"}}},{"spec":{"selector":{"tier":"front"}}},{"spec":{"selector":{"app":"b"}}},{"spec":{}}]}`
	denying  = `{"metadata":{"name":"quarantine"},"spec":{"podSelector":{"matchLabels":{"writ.dev/quarantine":"true"}},"policyTypes":["Ingress","Egress"]}}`
	ofApp    = `{"metadata":{"name":"of-app"},"spec":{"podSelector":{"matchLabels":{"app":"a"}},"policyTypes":["Ingress"],"ingress":[{}]}}`
	dns      = `{"metadata":{"name":"dns"},"spec":{"podSelector":{"matchExpressions":[{"key":"app","operator":"NotIn","values":["b"]}]},"policyTypes":["Egress"],"egress":[{"ports":[{"port":53}]}]}}`
)

func items(of ...string) string { return `{"items":[` + strings.Join(of, ",") + `]}` }

func TestAQuarantineTakesThePodFromEveryServiceAndGivesItBack(t *testing.T) {
	c, err := judged(t, "quarantine-pod", catalogue.Pod, `{}`, sick, slice, services, items(ofApp, dns, denying))
	require.NoError(t, err)
	require.JSONEq(t, `{"quarantined":false,"labels":{"app":"a","tier":"front"},"serving":true,"running":true,"policy":"quarantine","open":["dns"]}`,
		string(c.Facts.State), "a policy by a label that goes does not hold the door open")
	got, err := change(t, "quarantine-pod", c, sick)
	require.NoError(t, err)
	require.JSONEq(t, `{"metadata":{"uid":"u1","resourceVersion":"9","labels":{"app":null,"tier":null,"writ.dev/quarantine":"true"},
		"annotations":{"writ.dev/order":"o1","writ.dev/quarantined":"{\"app\":\"a\",\"tier\":\"front\"}"}}}`, string(got.Body))
	require.Equal(t, "quarantine under NetworkPolicy quarantine, without the labels app=a,tier=front; still open by dns", got.Says)

	out := strings.NewReplacer(`{"app":"a","tier":"front"}`, `{"writ.dev/quarantine":"true"}`,
		`"note":"x"`, `"writ.dev/quarantined":"{\"app\":\"a\",\"tier\":\"front\"}"`).Replace(sick)
	back, err := judged(t, "release-pod", catalogue.Pod, `{}`, out, none)
	require.NoError(t, err)
	require.JSONEq(t, `{"quarantined":true,"labels":{"app":"a","tier":"front"},"serving":false,"running":true}`, string(back.Facts.State))
	got, err = change(t, "release-pod", back, out)
	require.NoError(t, err)
	require.JSONEq(t, `{"metadata":{"uid":"u1","resourceVersion":"9","labels":{"app":"a","tier":"front","writ.dev/quarantine":null},
		"annotations":{"writ.dev/order":"o1","writ.dev/quarantined":null}}}`, string(got.Body))

	predicted := catalogue.Actions()["quarantine-pod"].Predict(c)
	for state, holds := range map[string]bool{
		`{"quarantined":true,"running":true,"serving":false}`:  true,
		`{"quarantined":true,"running":true,"serving":true}`:   false,
		`{"quarantined":true,"running":false,"serving":false}`: false,
	} {
		held, _ := predicted.Holds(catalogue.Facts{UID: "u1", State: []byte(state)})
		require.Equal(t, holds, held, state)
	}
}

func TestAQuarantineIsOfWhatWasJudged(t *testing.T) {
	c, err := judged(t, "quarantine-pod", catalogue.Pod, `{}`, sick, slice, services, items(denying))
	require.NoError(t, err)
	for name, object := range map[string]string{
		"another label":      strings.Replace(sick, `"app":"a"`, `"app":"b"`, 1),
		"a label less":       strings.Replace(sick, `"app":"a",`, ``, 1),
		"another controller": strings.Replace(sick, `"uid":"u1",`, `"uid":"u1","ownerReferences":[{"kind":"ReplicaSet","controller":true}],`, 1),
		"in quarantine":      strings.Replace(sick, `"app":"a"`, `"writ.dev/quarantine":"true"`, 1),
		"on the host":        strings.Replace(sick, `"status"`, `"spec":{"hostNetwork":true},"status"`, 1),
	} {
		_, err := change(t, "quarantine-pod", c, object)
		require.ErrorIs(t, err, catalogue.ErrTargetChanged, name)
	}
	_, err = change(t, "quarantine-pod", c, strings.Replace(sick, `"app":"a"`, `"app":"a","more":"1"`, 1))
	require.NoError(t, err, "what the action does not touch may change")
}

func TestThePodOfAStatefulSetIsNotReplaced(t *testing.T) {
	owned := strings.Replace(sick, `"uid":"u1",`, `"uid":"u1","ownerReferences":[{"kind":"StatefulSet","controller":true}],`, 1)
	c, err := judged(t, "quarantine-pod", catalogue.Pod, `{}`, owned, slice, services, items(denying))
	require.NoError(t, err)
	tier, why := catalogue.Actions()["quarantine-pod"].TierOf(c)
	require.Equal(t, catalogue.High, tier, why)
}

func TestWhatCannotBeQuarantinedOrReleased(t *testing.T) {
	with := func(was, is string) string { return strings.Replace(sick, was, is, 1) }
	quarantined := `"labels":{"writ.dev/quarantine":"true"}`
	for name, tc := range map[string]struct {
		action, object string
		looked         []string
		says           string
	}{
		"no policy":           {"quarantine-pod", sick, []string{slice, services, none}, "apply one first"},
		"a policy that opens": {"quarantine-pod", sick, []string{slice, services, items(dns)}, "apply one first"},
		"one way alone":       {"quarantine-pod", sick, []string{slice, services, items(strings.Replace(denying, `,"Egress"`, "", 1))}, "apply one first"},
		"a rule in it":        {"quarantine-pod", sick, []string{slice, services, items(strings.Replace(denying, `"policyTypes"`, `"ingress":[{}],"policyTypes"`, 1))}, "apply one first"},
		"the node's network":  {"quarantine-pod", with(`"status"`, `"spec":{"hostNetwork":true},"status"`), []string{slice, services, items(denying)}, "network of its node"},
		"nothing kept":        {"release-pod", with(`"labels":{"app":"a","tier":"front"}`, quarantined), []string{none}, "does not"},
		"a label of Writ": {"release-pod", strings.NewReplacer(`"labels":{"app":"a","tier":"front"}`, quarantined,
			`"note":"x"`, `"writ.dev/quarantined":"{\"writ.dev/protected\":\"\"}"`).Replace(sick), []string{none}, "which is Writ's"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := judged(t, tc.action, catalogue.Pod, `{}`, tc.object, tc.looked...)
			require.ErrorIs(t, err, catalogue.ErrUnfit)
			require.ErrorContains(t, err, tc.says)
		})
	}
}
