package catalogue_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/catalogue"
)

// judged is a case with the state that the action sees of the object.
func judged(t *testing.T, action string, kind catalogue.Kind, parameters, object string, looked ...string) (catalogue.Case, error) {
	t.Helper()
	a := catalogue.Actions()[action]
	require.NoError(t, a.Validate(json.RawMessage(parameters)), "%s %s", action, parameters)
	c := caseOf(kind, catalogue.Facts{UID: "u1", Generation: 7, Revision: 3}, parameters)
	c.OrderID = "o1"
	around := make([][]byte, len(looked))
	for i := range looked {
		if looked[i] != "" {
			around[i] = []byte(looked[i])
		}
	}
	var err error
	c.Facts.State, err = a.See(c, []byte(object), around)
	return c, err
}

const (
	workload = `{"metadata":{"uid":"u1","resourceVersion":"9","generation":7},"spec":{"replicas":4,"selector":{"matchLabels":{"app":"a"}},
		"updateStrategy":{"type":"RollingUpdate"},"template":{"spec":{"containers":[{"name":"main","image":"a:1",
		"env":[{"name":"A","value":"1"},{"name":"S","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}],
		"resources":{"requests":{"memory":"1Gi","cpu":"1"},"limits":{"memory":"2Gi"}},"livenessProbe":{"periodSeconds":5}}]}}}}`
	hpa    = `{"metadata":{"uid":"u1"},"spec":{"minReplicas":2,"maxReplicas":10,"metrics":[{"type":"Resource","resource":{"name":"cpu","target":{"averageUtilization":80}}}]}}`
	config = `{"metadata":{"uid":"u1","resourceVersion":"9"},"data":{"a":"1"},"binaryData":{"b":"AA=="}}`
	users  = `{"items":[{"spec":{"replicas":1,"template":{"spec":{"volumes":[{"configMap":{"name":"checkout"}}]}}},"status":{"availableReplicas":1}},
		{"spec":{"replicas":1,"template":{"spec":{"containers":[{"envFrom":[{"configMapRef":{"name":"checkout"}}]}]}}}},
		{"spec":{"replicas":1,"template":{"spec":{"containers":[{"envFrom":[{"secretRef":{"name":"checkout"}}]}]}}}}]}`
	none = `{"items":[]}`
)

func TestTiersOfWhatWasSeen(t *testing.T) {
	for name, tc := range map[string]struct {
		action     string
		kind       catalogue.Kind
		parameters string
		object     string
		looked     []string
		tier       catalogue.Tier
	}{
		"more memory":                  {"set-resources", catalogue.Deployment, `{"container":"main","limits":{"memory":"3Gi"}}`, workload, []string{none}, catalogue.Medium},
		"the same memory, otherwise":   {"set-resources", catalogue.Deployment, `{"container":"main","requests":{"memory":"1024Mi"}}`, workload, []string{none}, catalogue.Medium},
		"less memory":                  {"set-resources", catalogue.Deployment, `{"container":"main","limits":{"memory":"2047Mi"}}`, workload, []string{none}, catalogue.High},
		"less memory requested":        {"set-resources", catalogue.Deployment, `{"container":"main","requests":{"memory":"1"}}`, workload, []string{none}, catalogue.High},
		"less CPU":                     {"set-resources", catalogue.Deployment, `{"container":"main","requests":{"cpu":"10m"}}`, workload, []string{none}, catalogue.Medium},
		"a plain variable":             {"set-env", catalogue.Deployment, `{"container":"main","env":{"A":{"value":"2"}}}`, workload, nil, catalogue.Medium},
		"a variable of the loader":     {"set-env", catalogue.Deployment, `{"container":"main","env":{"LD_PRELOAD":{"value":"x"}}}`, workload, nil, catalogue.High},
		"max by half":                  {"adjust-hpa", catalogue.HorizontalPodAutoscaler, `{"max":15}`, hpa, nil, catalogue.Low},
		"max beyond half":              {"adjust-hpa", catalogue.HorizontalPodAutoscaler, `{"max":16}`, hpa, nil, catalogue.Medium},
		"max down":                     {"adjust-hpa", catalogue.HorizontalPodAutoscaler, `{"max":9}`, hpa, nil, catalogue.Medium},
		"a ConfigMap of two workloads": {"patch-configmap", catalogue.ConfigMap, `{"values":{"a":"2"}}`, config, []string{users, none, none}, catalogue.Medium},
		"a ConfigMap of four":          {"patch-configmap", catalogue.ConfigMap, `{"values":{"a":"2"}}`, config, []string{users, users, none}, catalogue.High},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := judged(t, tc.action, tc.kind, tc.parameters, tc.object, tc.looked...)
			require.NoError(t, err)
			action := catalogue.Actions()[tc.action]
			tier, why := action.TierOf(c)
			require.Equal(t, tc.tier, tier, why)
			require.NotEmpty(t, why)
			c.Facts.Protected = true
			tier, _ = action.TierOf(c)
			require.Equal(t, catalogue.High, tier)
			c.Facts.Protected, c.Facts.State = false, nil
			tier, _ = action.TierOf(c)
			require.Equal(t, catalogue.High, tier, "what was not seen is not low")
		})
	}
}

func TestActionsThatDoNotFitAreRefused(t *testing.T) {
	unbound := `{"metadata":{"uid":"u1"},"spec":{"storageClassName":"fast","resources":{"requests":{"storage":"1Gi"}}},"status":{"phase":"Pending"}}`
	bound := strings.Replace(unbound, "Pending", "Bound", 1)
	elastic := `{"allowVolumeExpansion":true}`
	for name, tc := range map[string]struct {
		action     string
		kind       catalogue.Kind
		parameters string
		object     string
		looked     []string
	}{
		"no such container":         {"set-image", catalogue.Deployment, `{"container":"other","image":"a@sha256:` + strings.Repeat("a", 64) + `"}`, workload, nil},
		"ten times and more":        {"set-resources", catalogue.Deployment, `{"container":"main","requests":{"cpu":"10001m"}}`, workload, []string{none}},
		"a Secret's variable":       {"set-env", catalogue.Deployment, `{"container":"main","env":{"S":{"value":"x"}}}`, workload, nil},
		"no such probe":             {"set-probe", catalogue.Deployment, `{"container":"main","probe":"startup","periodSeconds":3}`, workload, nil},
		"a probe removed and set":   {"set-probe", catalogue.Deployment, `{"container":"main","probe":"liveness","periodSeconds":3,"remove":true}`, workload, nil},
		"no rolling update":         {"undo-partial-rollout", catalogue.StatefulSet, `{"partition":1}`, strings.Replace(workload, "RollingUpdate", "OnDelete", 1), nil},
		"no CPU metric":             {"adjust-hpa", catalogue.HorizontalPodAutoscaler, `{"target":50}`, strings.Replace(hpa, `"cpu"`, `"memory"`, 1), nil},
		"a budget without a bound":  {"adjust-pdb", catalogue.PodDisruptionBudget, `{"minAvailable":1}`, `{"spec":{}}`, nil},
		"a label of Kubernetes":     {"label", catalogue.Deployment, `{"values":{"app.kubernetes.io/name":"x"}}`, workload, nil},
		"an annotation of Writ":     {"annotate", catalogue.Deployment, `{"values":{"writ.dev/order":"x"}}`, workload, nil},
		"a label of Argo CD":        {"label", catalogue.Deployment, `{"values":{"argocd.argoproj.io/instance":null}}`, workload, nil},
		"an unbound claim":          {"expand-pvc", catalogue.PersistentVolumeClaim, `{"size":"2Gi"}`, unbound, []string{elastic}},
		"a smaller volume":          {"expand-pvc", catalogue.PersistentVolumeClaim, `{"size":"1000Mi"}`, bound, []string{elastic}},
		"a volume ten times as big": {"expand-pvc", catalogue.PersistentVolumeClaim, `{"size":"11Gi"}`, bound, []string{elastic}},
		"a class that cannot":       {"expand-pvc", catalogue.PersistentVolumeClaim, `{"size":"2Gi"}`, bound, []string{`{}`}},
		"a class that is gone":      {"expand-pvc", catalogue.PersistentVolumeClaim, `{"size":"2Gi"}`, bound, []string{""}},
		"an immutable ConfigMap":    {"patch-configmap", catalogue.ConfigMap, `{"values":{"a":"2"}}`, `{"immutable":true}`, []string{none, none, none}},
		"nothing to restore":        {"restore-configmap", catalogue.ConfigMap, `{"revision":"order-a"}`, config, []string{none, none, none}},
		"a binary key":              {"patch-configmap", catalogue.ConfigMap, `{"values":{"b":"2"}}`, config, []string{none, none, none}},
		"no such limit":             {"adjust-quota", catalogue.ResourceQuota, `{"hard":{"pods":"5"}}`, `{"spec":{"hard":{"cpu":"1"}}}`, []string{none}},
		"no selector":               {"patch-service-selector", catalogue.Service, `{"selector":{"a":"b"}}`, `{"spec":{}}`, []string{none}},
		"a port by name":            {"patch-service-selector", catalogue.Service, `{"port":{"port":80,"targetPort":1}}`, `{"spec":{"selector":{"a":"b"},"ports":[{"port":80,"targetPort":"web"}]}}`, []string{none}},
		"a certificate nobody saw":  {"renew-certificate", catalogue.Certificate, ``, `{}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := judged(t, tc.action, tc.kind, tc.parameters, tc.object, tc.looked...)
			require.ErrorIs(t, err, catalogue.ErrUnfit)
			require.Nil(t, c.Facts.State)
		})
	}
}

func TestSchemasOfTheOthersAreStrict(t *testing.T) {
	for action, list := range map[string][]string{
		"set-image":     {`{}`, `{"container":"main","image":"a:1"}`, `{"container":"main","image":"a@sha256:abc"}`, `{"container":"Main","image":"a@sha256:` + strings.Repeat("a", 64) + `"}`},
		"set-resources": {`{"container":"main"}`, `{"container":"main","limits":{}}`, `{"container":"main","limits":{"gpu":"1"}}`, `{"container":"main","limits":{"cpu":"-1"}}`},
		"set-env": {`{"container":"main","env":{}}`, `{"container":"main","env":{"A":{}}}`, `{"container":"main","env":{"A":{"value":"1","configMap":"c","key":"k"}}}`,
			`{"container":"main","env":{"A":{"secret":"s","key":"k"}}}`, `{"container":"main","env":{"A-B":{"value":"1"}}}`},
		"set-probe":              {`{"container":"main","probe":"liveness"}`, `{"container":"main","probe":"health","periodSeconds":1}`, `{"container":"main","probe":"liveness","periodSeconds":0}`},
		"adjust-hpa":             {`{}`, `{"max":0}`, `{"min":0}`},
		"adjust-pdb":             {`{}`, `{"minAvailable":1,"maxUnavailable":1}`, `{"minAvailable":"101%"}`, `{"minAvailable":"1"}`, `{"minAvailable":-1}`},
		"label":                  {`{}`, `{"values":{}}`, `{"values":{"a b":"c"}}`, `{"values":{"a":"b c"}}`, `{"values":{"a":1}}`},
		"patch-service-selector": {`{}`, `{"selector":{}}`, `{"port":{"port":80}}`},
		"restore-configmap":      {`{}`, `{"revision":"3"}`, `{"revision":"order-a","values":{}}`, `{"revision":"order-a/b"}`, `{"revision":"order-a","data":{}}`},
		"pause-rollout":          {`{"paused":true}`},
	} {
		for _, parameters := range list {
			require.Error(t, catalogue.Actions()[action].Validate(json.RawMessage(parameters)), "%s %s", action, parameters)
		}
	}
}

func TestAChangeIsMadeOnlyOfWhatWasJudged(t *testing.T) {
	c, err := judged(t, "patch-configmap", catalogue.ConfigMap, `{"values":{"a":"2"}}`, config, none, none, none)
	require.NoError(t, err)
	change := func(object string) (catalogue.Change, error) {
		return catalogue.Actions()["patch-configmap"].Change(c, catalogue.Stamp{OrderID: "o1", At: time.Unix(0, 0)}, [][]byte{[]byte(object)})
	}
	got, err := change(config)
	require.NoError(t, err)
	require.JSONEq(t, `{"metadata":{"uid":"u1","resourceVersion":"9","annotations":{"writ.dev/order":"o1"}},"data":{"a":"2"}}`, string(got.Body))
	require.Equal(t, `data a "1" → "2"`, got.Says)
	for name, object := range map[string]string{
		"another object":   strings.Replace(config, "u1", "u2", 1),
		"another value":    strings.Replace(config, `"a":"1"`, `"a":"3"`, 1),
		"no value":         strings.Replace(config, `"a":"1"`, ``, 1),
		"immutable by now": strings.Replace(config, `"data"`, `"immutable":true,"data"`, 1),
	} {
		got, err := change(object)
		require.ErrorIs(t, err, catalogue.ErrTargetChanged, name)
		require.Empty(t, got.Body, name)
	}
	_, err = change(strings.Replace(config, `"data"`, `"other":1,"data"`, 1))
	require.NoError(t, err, "what the action does not touch may change")
}

// The inverse of an action, judged after it, has the action as its own inverse.
func TestTheInverseOfTheInverse(t *testing.T) {
	after := func(was, is string) string { return strings.Replace(workload, was, is, 1) }
	of := strings.Replace(workload, `"value":"1"`, `"valueFrom":{"configMapKeyRef":{"name":"c","key":"k"}}`, 1)
	for action, tc := range map[string]struct {
		parameters, before, after string
		kind                      catalogue.Kind
		looked                    []string
	}{
		"set-resources": {`{"container":"main","limits":{"memory":"3Gi"}}`, workload, after(`"2Gi"`, `"3Gi"`), catalogue.Deployment, []string{none}},
		"set-probe":     {`{"container":"main","probe":"liveness","periodSeconds":9}`, workload, after(`"periodSeconds":5`, `"periodSeconds":9`), catalogue.Deployment, nil},
		"set-env": {`{"container":"main","env":{"A":{"configMap":"c","key":"other"}}}`, of, strings.Replace(of, `"key":"k"`, `"key":"other"`, 1),
			catalogue.Deployment, nil},
		"adjust-hpa":      {`{"min":3}`, hpa, strings.Replace(hpa, `"minReplicas":2`, `"minReplicas":3`, 1), catalogue.HorizontalPodAutoscaler, nil},
		"patch-configmap": {`{"values":{"a":"2"}}`, config, strings.Replace(config, `"a":"1"`, `"a":"2"`, 1), catalogue.ConfigMap, []string{none, none, none}},
	} {
		t.Run(action, func(t *testing.T) {
			c, err := judged(t, action, tc.kind, tc.parameters, tc.before, tc.looked...)
			require.NoError(t, err)
			undo := catalogue.Actions()[action].Inverse(c)
			require.NotNil(t, undo)
			require.NotEqual(t, tc.parameters, string(undo.Parameters))
			back, err := judged(t, undo.Action, tc.kind, string(undo.Parameters), tc.after, tc.looked...)
			require.NoError(t, err)
			again := catalogue.Actions()[undo.Action].Inverse(back)
			require.Equal(t, action, again.Action)
			require.JSONEq(t, tc.parameters, string(again.Parameters))
		})
	}
}

// A plain value of an environment variable may be a password: it is told to nobody, and the inverse goes by the revision.
func TestValuesOfTheEnvironmentStayInTheCluster(t *testing.T) {
	secret := strings.Replace(workload, `"value":"1"`, `"value":"hunter2"`, 1)
	c, err := judged(t, "set-env", catalogue.Deployment, `{"container":"main","env":{"A":{"value":"other"},"NEW":{"value":"x"}}}`, secret)
	require.NoError(t, err)
	action := catalogue.Actions()["set-env"]
	change, err := action.Change(c, catalogue.Stamp{OrderID: "o1"}, [][]byte{[]byte(secret)})
	require.NoError(t, err)
	require.Equal(t, "main: A a value → a value, NEW unset → a value", change.Says)
	undo := action.Inverse(c)
	require.Equal(t, `rollback {"revision":3}`, undo.Action+" "+string(undo.Parameters))
	for _, told := range []string{string(c.Facts.State), change.Says, string(undo.Parameters), string(action.Predict(c).Want)} {
		require.NotContains(t, told, "hunter2")
		require.NotContains(t, told, "other")
	}
	_, err = action.Change(c, catalogue.Stamp{}, [][]byte{[]byte(strings.Replace(secret, `"generation":7`, `"generation":8`, 1))})
	require.ErrorIs(t, err, catalogue.ErrTargetChanged)
}

func TestWhatIsPredictedOfAState(t *testing.T) {
	p := catalogue.Prediction{Expect: catalogue.State, Want: json.RawMessage(`{"paused":true,"size":"2Gi"}`), WithinSeconds: 60}
	for state, want := range map[string]bool{
		`{"paused":true,"size":"2Gi","more":1}`: true, `{"paused":true}`: false, `{"paused":false,"size":"2Gi"}`: false, ``: false, `[]`: false,
	} {
		held, _ := p.Holds(catalogue.Facts{UID: "u1", State: json.RawMessage(state)})
		require.Equal(t, want, held, state)
	}
	held, _ := p.Holds(catalogue.Facts{Gone: true, State: json.RawMessage(`{"paused":true,"size":"2Gi"}`)})
	require.False(t, held)
	gone := catalogue.Prediction{Expect: catalogue.Gone, Want: json.RawMessage(`{"replaced":true}`)}
	held, _ = gone.Holds(catalogue.Facts{Gone: true, State: json.RawMessage(`{"replaced":true}`)})
	require.True(t, held)
	held, _ = gone.Holds(catalogue.Facts{State: json.RawMessage(`{"replaced":true}`)})
	require.False(t, held)
}
