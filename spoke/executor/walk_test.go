package executor

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
	"github.com/writ-dev/writ/spoke/target"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

// walk is one action of the catalogue, on a real API server that authorises.
type walk struct {
	action     string
	kind       catalogue.Kind
	name       string // of the target
	parameters string
	tier       catalogue.Tier
	says       string
	holds      bool // the prediction comes true here, where no kubelet runs and no cert-manager
	undo       string
}

// Every action of the catalogue does what it says with exactly the rules it states, and with any one verb less it does not.
func TestEveryActionWorksWithExactlyItsRules(t *testing.T) {
	c := worldtest.Cluster(t, cluster.Options{Workloads: true})
	w := &walker{admin: worldtest.Client(t, c), config: c.RESTConfig(), namespace: worldtest.Namespace(t, c)}
	var err error
	w.objects, err = dynamic.NewForConfig(w.config)
	require.NoError(t, err)
	w.seed(t)
	walked := map[string]bool{}
	for _, one := range walks {
		walked[one.action] = true
		t.Run(one.action+"/"+one.kind.Kind+"/"+one.parameters, func(t *testing.T) {
			w.reader = w.readerFor(t, one.action)
			w.walk(t, one)
		})
	}
	for _, name := range catalogue.ClusterNames() {
		require.True(t, walked[name], "no walk tries %s", name)
	}
}

type walker struct {
	admin     *kubernetes.Clientset
	config    *rest.Config
	objects   *dynamic.DynamicClient
	reader    *target.Reader
	namespace string
	users     int
	collected string // by the last walk that collects
}

func (w *walker) walk(t *testing.T, one walk) {
	action := catalogue.Actions()[one.action]
	if one.action == "resize-pod" { // a kubelet that can resize says what a container has
		worldtest.Eventually(t, "a container's status", func(ctx context.Context) error {
			_, err := w.admin.CoreV1().Pods(w.namespace).Patch(ctx, one.name, types.StrategicMergePatchType,
				[]byte(`{"status":{"containerStatuses":[{"name":"main","resources":{"requests":{"cpu":"10m"}}}]}}`), metav1.PatchOptions{}, "status")
			return err
		})
	}
	of := catalogue.Target{APIVersion: one.kind.APIVersion, Kind: one.kind.Kind, Name: one.name}
	if !one.kind.ClusterScoped {
		of.Namespace = w.namespace
	}
	order := bundle.Order{ID: fmt.Sprintf("order-walk-%d", w.users), Action: one.action, Target: of, Parameters: json.RawMessage(one.parameters)}
	var kept catalogue.Change
	worldtest.Eventually(t, "facts of "+of.String(), func(ctx context.Context) (err error) {
		order.Observed, err = w.reader.Look(ctx, one.action, order.Parameters, of)
		if f := order.Observed; err == nil && slices.Contains(catalogue.Workloads(), one.kind) && (f.Revision == 0 || !f.FullyAvailable()) {
			return fmt.Errorf("its controller is not done: %+v", f)
		}
		return err
	})
	order.Target.UID = order.Observed.UID
	_, c, _ := order.Case()
	floor, why := action.TierOf(c)
	require.Equal(t, one.tier, floor, why)
	order.Prediction = action.Predict(c)
	if inverse := action.Inverse(c); one.undo == "" {
		require.Nil(t, inverse)
	} else {
		require.NotNil(t, inverse)
		require.Equal(t, one.undo, strings.ReplaceAll(sums.ReplaceAllString(inverse.Action+" "+string(inverse.Parameters), `"digest":"sha256:SUM"`), order.ID, "ORDER"))
		require.NoError(t, catalogue.Actions()[inverse.Action].Validate(inverse.Parameters))
	}
	withoutOrder := c
	withoutOrder.OrderID = ""
	require.True(t, catalogue.Equal(action.Rules(c), action.Rules(withoutOrder)))
	require.True(t, catalogue.Equal(order.Prediction, action.Predict(withoutOrder)))

	for _, less := range lessOne(action.Rules(c)) {
		worldtest.Eventually(t, fmt.Sprintf("refusal with no more than %v", less), func(context.Context) error {
			if _, err := w.try(t, action, c, less, true); !apierrors.IsForbidden(err) {
				return fmt.Errorf("it was not forbidden: %w", err)
			}
			return nil
		})
	}
	applied, err := w.reader.Applied(t.Context(), order, fieldManager(order))
	require.NoError(t, err)
	require.False(t, applied)
	worldtest.Eventually(t, one.action, func(context.Context) (err error) {
		kept, err = w.try(t, action, c, action.Rules(c), false)
		return err
	})
	kept.Says = strings.ReplaceAll(kept.Says, w.namespace, "NS")
	kept.Says = addresses.ReplaceAllString(kept.Says, "ADDRESS")
	require.Equal(t, one.says, changing.ReplaceAllString(moment.ReplaceAllString(kept.Says, "TIME"), "writ-HASH"))
	applied, err = w.reader.Applied(t.Context(), order, fieldManager(order))
	require.NoError(t, err)
	require.Equal(t, action.Effect != catalogue.Collects, applied, "it cannot be told that it was applied")
	if action.Probe != nil { // spoke/probe has it done
		return
	}
	if action.Effect == catalogue.Collects {
		require.Contains(t, w.collected, "== "+of.String()+"\n")
		require.Contains(t, w.collected, `"conditions"`)
		require.Contains(t, w.collected, "== events, ")
		return
	}
	if one.holds {
		held, seen, err := w.reader.Await(t.Context(), order, time.Now().Add(time.Minute))
		require.NoError(t, err)
		require.True(t, held, seen)
	}
}

// readerFor reads as a spoke does in whose cluster that action alone is allowed.
func (w *walker) readerFor(t *testing.T, action string) *target.Reader {
	var base []rbacv1.PolicyRule
	parts := spoke.AllParts()
	for _, object := range parts.Base {
		if role, ok := object.(*rbacv1.ClusterRole); ok && role.Name == spoke.SpokeAccount {
			base = role.Rules
		}
	}
	require.NotEmpty(t, base)
	config := rest.CopyConfig(w.config)
	config.Impersonate.UserName = w.user(t, slices.Concat(base, parts.Actions[action].ClusterReads), parts.Actions[action].Reads)
	reader, err := target.New(config)
	require.NoError(t, err)
	return reader
}

// try computes the change and makes it, or has it checked, as somebody with these rules alone.
func (w *walker) try(t *testing.T, action *catalogue.Action, c catalogue.Case, rules []rbacv1.PolicyRule, dryRun bool) (catalogue.Change, error) {
	config := rest.CopyConfig(w.config)
	if c.Kind.ClusterScoped {
		config.Impersonate.UserName = w.user(t, rules, nil)
	} else {
		config.Impersonate.UserName = w.user(t, nil, rules)
	}
	api, err := newAPI(config, c.Target.Namespace)
	require.NoError(t, err)
	var read [][]byte
	for _, r := range action.Reads(c) {
		raw, err := api.get(t.Context(), r)
		if err != nil {
			return catalogue.Change{}, err
		}
		read = append(read, raw)
	}
	change, err := action.Change(c, catalogue.Stamp{OrderID: c.OrderID, At: time.Now().Add(time.Hour)}, read) // what terminates has done so for long
	if err != nil {
		return change, err
	}
	manager := fieldManager(bundle.Order{ID: c.OrderID})
	if action.Probe != nil {
		return change, nil
	}
	if action.Effect == catalogue.Collects {
		artefact, err := collect(t.Context(), api, action, c)
		require.LessOrEqual(t, len(artefact), catalogue.MaxArtefact)
		w.collected = string(artefact)
		return change, err
	}
	for _, dry := range []bool{true, false} {
		for _, one := range append([]catalogue.Change{change}, change.Then...) {
			if _, err := api.do(t.Context(), one, manager, dry); err != nil {
				return change, err
			}
		}
		if dryRun {
			break
		}
	}
	return change, nil
}

// user makes one with these rules, in the cluster and in the namespace, and waits until the API server knows them: one right
// more, which nothing needs, tells.
func (w *walker) user(t *testing.T, inCluster, inNamespace []rbacv1.PolicyRule) string {
	w.users++
	name, ctx := fmt.Sprintf("walker-%d", w.users), t.Context()
	known := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"podtemplates"}, Verbs: []string{"list"}}
	meta := metav1.ObjectMeta{Name: name}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: name}}
	rbac := w.admin.RbacV1()
	if len(inCluster) > 0 {
		_, err := rbac.ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: inCluster}, metav1.CreateOptions{})
		require.NoError(t, err)
		_, err = rbac.ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects,
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}}, metav1.CreateOptions{})
		require.NoError(t, err)
	}
	_, err := rbac.Roles(w.namespace).Create(ctx, &rbacv1.Role{ObjectMeta: meta, Rules: append(slices.Clone(inNamespace), known)}, metav1.CreateOptions{})
	require.NoError(t, err)
	_, err = rbac.RoleBindings(w.namespace).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}}, metav1.CreateOptions{})
	require.NoError(t, err)
	config := rest.CopyConfig(w.config)
	config.Impersonate.UserName = name
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	worldtest.Eventually(t, "the rights of "+name, func(ctx context.Context) error {
		_, err := client.CoreV1().PodTemplates(w.namespace).List(ctx, metav1.ListOptions{Limit: 1})
		return err
	})
	return name
}

// What differs from run to run in what a change says.
var (
	moment    = regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:]+Z`)
	sums      = regexp.MustCompile(`"digest":"sha256:[0-9a-f]{64}"`)
	addresses = regexp.MustCompile(`\d+\.\d+\.\d+\.\d+`)
	changing  = regexp.MustCompile(`writ-[0-9a-f]{10}`)
)

// plural mends the kinds of which the resource is not the kind and an s.
var plural = strings.NewReplacer("classs", "classes", "policys", "policies")

// lessOne are the rules with one verb left out, each in turn.
func lessOne(rules []rbacv1.PolicyRule) [][]rbacv1.PolicyRule {
	var all [][]rbacv1.PolicyRule
	for i, r := range rules {
		for v := range r.Verbs {
			less := slices.Clone(rules)
			less[i].Verbs = slices.Delete(slices.Clone(r.Verbs), v, v+1)
			if len(less[i].Verbs) == 0 {
				less = slices.Delete(less, i, i+1)
			}
			all = append(all, less)
		}
	}
	return all
}

// seed makes the objects that the walks are about.
func (w *walker) seed(t *testing.T) {
	for _, raw := range seeds {
		var object unstructured.Unstructured
		require.NoError(t, json.Unmarshal([]byte(raw), &object.Object), raw)
		status, has := object.Object["status"]
		gv, err := schema.ParseGroupVersion(object.GetAPIVersion())
		require.NoError(t, err)
		plain := w.objects.Resource(gv.WithResource(plural.Replace(strings.ToLower(object.GetKind()) + "s")))
		client := plain.Namespace(w.namespace)
		if clusterScoped[object.GetKind()] {
			client = plain.Namespace("")
		}
		defer func() {
			if terminating[object.GetName()] {
				require.NoError(t, client.Delete(t.Context(), object.GetName(), metav1.DeleteOptions{}))
			}
		}()
		worldtest.Eventually(t, object.GetKind()+" "+object.GetName(), func(ctx context.Context) error {
			made, err := client.Create(ctx, &object, metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) { // by a try before, of which the answer was lost
				made, err = client.Get(ctx, object.GetName(), metav1.GetOptions{})
			}
			if err != nil || !has {
				return err
			}
			made.Object["status"] = status
			_, err = client.UpdateStatus(ctx, made, metav1.UpdateOptions{})
			return err
		})
	}
}
