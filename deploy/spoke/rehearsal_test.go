package spoke_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

// unseen is the one group that admission policies are not asked about, lest they lock everybody out: RBAC alone keeps it, and no
// action of the catalogue may ever have it.
const unseen = "admissionregistration.k8s.io"

// An identity of a rehearsal that RBAC lets do everything is held to dry runs by admission: every verb on every resource and
// subresource that the API server knows is tried for real, and nothing changes.
func TestTheHoldOnRehearsals(t *testing.T) {
	s := credentialstest.New(t, false)
	furnish(t, s)
	for _, other := range []string{"writ-action", "writ-limits"} { // the hold is to be seen alone
		require.NoError(t, s.Admin.AdmissionregistrationV1().ValidatingAdmissionPolicyBindings().Delete(t.Context(), other, metav1.DeleteOptions{}))
	}
	b := newBreaker(t, s)
	before := b.everything(t)
	held, other := map[string]bool{}, map[string]string{}
	for _, a := range b.attempts(t) {
		code, said := a.try(t, b.client)
		require.False(t, code >= 200 && code < 300 && !virtual(a.name, said), "%s got through: %d %s", a.name, code, said)
		if strings.Contains(said, "'writ-rehearsal'") {
			held[a.name] = true
		} else {
			other[a.name] = fmt.Sprintf("%d %s", code, said)
		}
	}
	after := b.everything(t)
	for key := range before {
		if before[key] != after[key] {
			t.Errorf("%s was %s, is %s", key, before[key], after[key])
		}
	}
	require.Equal(t, len(before), len(after), "something was made")
	t.Logf("%d held by admission, %d refused before it was asked", len(held), len(other))
	for _, must := range []string{
		"create pods", "update pods", "patch pods", "delete pods", "deletecollection pods", "create secrets", "patch secrets", "delete secrets",
		"create apps/deployments", "update apps/deployments", "patch apps/deployments", "delete apps/deployments", "deletecollection apps/deployments",
		"patch apps/deployments/scale", "update apps/deployments/scale", "patch apps/deployments/status", "patch apps/statefulsets/scale",
		"create pods/exec", "get pods/exec", "create pods/attach", "get pods/attach", "create pods/portforward", "get pods/portforward",
		"get pods/proxy", "create pods/proxy", "delete pods/proxy", "get services/proxy", "get nodes/proxy", "create nodes/proxy",
		"create pods/eviction", "create pods/binding", "create bindings", "create serviceaccounts/token", "patch pods/ephemeralcontainers",
		"patch pods/resize", "patch pods/status", "create configmaps", "patch configmaps", "create namespaces", "delete namespaces", "patch nodes", "delete nodes",
		"create rbac.authorization.k8s.io/clusterrolebindings", "create rbac.authorization.k8s.io/rolebindings", "patch rbac.authorization.k8s.io/roles",
		"create batch/jobs", "create batch/cronjobs", "patch autoscaling/horizontalpodautoscalers", "patch policy/poddisruptionbudgets",
		"patch networking.k8s.io/networkpolicies", "create serviceaccounts", "patch certificates.k8s.io/certificatesigningrequests/approval",
	} {
		require.True(t, held[must], "%s: %s", must, orNothing(other[must]))
		if isNever(must) {
			dry := must + " as a dry run"
			require.True(t, held[dry] || strings.Contains(other[dry], "dryRun is not supported"), "%s: %s", dry, orNothing(other[dry]))
		}
	}
	// And the dry runs that it is for, work.
	patched, err := b.set.AppsV1().Deployments(s.Allowed).Patch(t.Context(), credentialstest.Checkout, types.MergePatchType,
		[]byte(`{"spec":{"replicas":7}}`), metav1.PatchOptions{DryRun: []string{metav1.DryRunAll}})
	require.NoError(t, err)
	require.EqualValues(t, 7, *patched.Spec.Replicas)
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	pods, err := s.Admin.CoreV1().Pods(s.Allowed).List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, pods.Items)
	eviction, err := json.Marshal(policyv1.Eviction{TypeMeta: metav1.TypeMeta{APIVersion: "policy/v1", Kind: "Eviction"},
		ObjectMeta: metav1.ObjectMeta{Name: pods.Items[0].Name, Namespace: s.Allowed}})
	require.NoError(t, err)
	require.NoError(t, b.client.Post().AbsPath("api", "v1", "namespaces", s.Allowed, "pods", pods.Items[0].Name, "eviction").
		VersionedParams(&dry, metav1.ParameterCodec).SetHeader("Content-Type", "application/json").Body(eviction).Do(t.Context()).Error())
	requests, err := s.Admin.CertificatesV1().CertificateSigningRequests().List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	require.NotEmpty(t, requests.Items)
	approved, err := b.set.CertificatesV1().CertificateSigningRequests().Patch(t.Context(), requests.Items[0].Name, types.MergePatchType,
		[]byte(`{"status":{"conditions":[{"type":"Approved","status":"True","reason":"Tried"}]}}`), metav1.PatchOptions{DryRun: dry.DryRun}, "approval")
	require.NoError(t, err)
	require.Len(t, approved.Status.Conditions, 1)
	require.Equal(t, before, b.everything(t))
}

// The hold is for the sandbox alone.
func TestTheHoldIsForNobodyElse(t *testing.T) {
	s := credentialstest.New(t, false)
	_, err := s.Admin.AppsV1().Deployments(s.Allowed).Patch(t.Context(), credentialstest.Checkout, types.MergePatchType,
		[]byte(`{"spec":{"replicas":7}}`), metav1.PatchOptions{})
	require.NoError(t, err)
}

// What admission is not asked about, RBAC does not give: to no action, and so to no rehearsal. Secrets are not read either.
func TestTheCatalogueGivesNothingThatAdmissionCannotHold(t *testing.T) {
	for _, name := range catalogue.ClusterNames() {
		for _, rule := range spoke.Rules(catalogue.Actions()[name]) {
			for _, group := range rule.APIGroups {
				require.NotContains(t, []string{unseen, rbacv1.GroupName, "apiextensions.k8s.io", "authentication.k8s.io", "*"}, group, name)
			}
			for _, resource := range rule.Resources {
				require.NotContains(t, []string{"secrets", "serviceaccounts", "serviceaccounts/token", "users", "groups", "pods/exec",
					"pods/attach", "pods/portforward", "pods/proxy", "nodes/proxy", "services/proxy", "*"}, resource, name)
			}
			for _, verb := range rule.Verbs {
				require.NotContains(t, []string{"*", "impersonate", "escalate", "bind"}, verb, name)
			}
		}
	}
}

// A rehearsal's own identity may read and write what its action may, where that is allowed, and no more.
func TestTheRightsOfARehearsal(t *testing.T) {
	s := credentialstest.New(t, false)
	action := s.Rights(t, s.Lease(t, "scale", `{"replicas":4}`).RESTConfig(s.Anonymous()))
	rehearsal := s.Account(t, tokenrequest.Sandbox, tokenrequest.RehearsalAccount("scale"))
	require.Equal(t, action, s.Rights(t, rehearsal))
	s.MayNothingElse(t, rehearsal)
	client, err := kubernetes.NewForConfig(rehearsal)
	require.NoError(t, err)
	_, err = client.AppsV1().Deployments(s.Allowed).Patch(t.Context(), credentialstest.Checkout, types.MergePatchType,
		[]byte(`{"spec":{"replicas":7}}`), byOrder, "scale") // so that nothing but the hold is in its way
	require.ErrorContains(t, err, "a rehearsal makes dry runs, and nothing else")
}

func orNothing(said string) string {
	if said == "" {
		return "it was not tried"
	}
	return said
}

// virtual is what changes nothing: a question to the API server, of which nothing is kept and for which admission is not asked,
// and the deletion of everything where there is nothing.
func virtual(name, said string) bool {
	return strings.HasSuffix(name, "reviews") || strings.HasPrefix(name, "deletecollection ") && strings.Contains(said, `"items":[]`)
}

func isNever(name string) bool {
	for _, sub := range []string{"/exec", "/attach", "/portforward", "/proxy", "/binding", "/token", "/ephemeralcontainers"} {
		if strings.HasSuffix(name, sub) {
			return true
		}
	}
	return name == "create bindings"
}

// furnish makes one of each kind that somebody might want to break.
func furnish(t *testing.T, s *credentialstest.Scene) {
	t.Helper()
	ctx, created, one := t.Context(), metav1.CreateOptions{}, int32(1)
	meta := metav1.ObjectMeta{Name: "thing", Namespace: s.Allowed}
	pod := corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "main", Image: "registry.test/shop:1"}}}
	labels := map[string]string{"app": "thing"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: pod}
	always := template
	always.Spec.RestartPolicy = corev1.RestartPolicyAlways
	must := func(_ any, err error) { t.Helper(); require.NoError(t, err) }
	must(s.Admin.CoreV1().ConfigMaps(s.Allowed).Create(ctx, &corev1.ConfigMap{ObjectMeta: meta}, created))
	must(s.Admin.CoreV1().Services(s.Allowed).Create(ctx, &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}, created))
	must(s.Admin.BatchV1().Jobs(s.Allowed).Create(ctx, &batchv1.Job{ObjectMeta: meta, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: pod}}}, created))
	must(s.Admin.BatchV1().CronJobs(s.Allowed).Create(ctx, &batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{Schedule: "0 0 * * *",
		JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: pod}}}}}, created))
	must(s.Admin.AppsV1().DaemonSets(s.Allowed).Create(ctx, &appsv1.DaemonSet{ObjectMeta: meta, Spec: appsv1.DaemonSetSpec{
		Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: always}}, created))
	must(s.Admin.AppsV1().ReplicaSets(s.Allowed).Create(ctx, &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Replicas: &one,
		Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: always}}, created))
	must(s.Admin.AutoscalingV2().HorizontalPodAutoscalers(s.Allowed).Create(ctx, &autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: meta,
		Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MaxReplicas: 3, ScaleTargetRef: autoscalingv2.CrossVersionObjectReference{Kind: "Deployment", Name: "x", APIVersion: "apps/v1"}}}, created))
	must(s.Admin.PolicyV1().PodDisruptionBudgets(s.Allowed).Create(ctx, &policyv1.PodDisruptionBudget{ObjectMeta: meta}, created))
	must(s.Admin.NetworkingV1().NetworkPolicies(s.Allowed).Create(ctx, &networkingv1.NetworkPolicy{ObjectMeta: meta}, created))
	must(s.Admin.RbacV1().Roles(s.Allowed).Create(ctx, &rbacv1.Role{ObjectMeta: meta}, created))
	must(s.Admin.RbacV1().RoleBindings(s.Allowed).Create(ctx, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "thing"}}, created))
	node, err := s.Admin.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "node-"}}, created)
	require.NoError(t, err)
	request, err := s.Admin.CertificatesV1().CertificateSigningRequests().Create(ctx, signingRequest(t), created)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = s.Admin.CoreV1().Nodes().Delete(context.Background(), node.Name, metav1.DeleteOptions{})
		_ = s.Admin.CertificatesV1().CertificateSigningRequests().Delete(context.Background(), request.Name, metav1.DeleteOptions{})
	})
}

// breaker is an identity of the sandbox that RBAC lets do everything but what admission is not asked about.
type breaker struct {
	s      *credentialstest.Scene
	set    *kubernetes.Clientset
	client rest.Interface
	lists  []*metav1.APIResourceList
}

func newBreaker(t *testing.T, s *credentialstest.Scene) *breaker {
	t.Helper()
	ctx, created := t.Context(), metav1.CreateOptions{}
	_, lists, err := s.Admin.Discovery().ServerGroupsAndResources()
	require.NoError(t, err)
	groups := map[string]bool{}
	for _, list := range lists {
		if group, _, found := strings.Cut(list.GroupVersion, "/"); !found {
			groups[""] = true
		} else if group != unseen {
			groups[group] = true
		}
	}
	account, err := s.Admin.CoreV1().ServiceAccounts(tokenrequest.Sandbox).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{GenerateName: "breaker-"}}, created)
	require.NoError(t, err)
	role, err := s.Admin.RbacV1().ClusterRoles().Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: account.Name}, Rules: []rbacv1.PolicyRule{{
		APIGroups: slices.Sorted(maps.Keys(groups)), Resources: []string{"*"},
		Verbs: []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "bind", "escalate", "approve", "sign"}}}}, created)
	require.NoError(t, err)
	binding, err := s.Admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: account.Name},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: account.Namespace, Name: account.Name}}}, created)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = s.Admin.RbacV1().ClusterRoleBindings().Delete(context.Background(), binding.Name, metav1.DeleteOptions{})
		_ = s.Admin.RbacV1().ClusterRoles().Delete(context.Background(), role.Name, metav1.DeleteOptions{})
		_ = s.Admin.CoreV1().ServiceAccounts(account.Namespace).Delete(context.Background(), account.Name, metav1.DeleteOptions{})
	})
	config := s.Account(t, account.Namespace, account.Name)
	set, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	probe := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "probe"}}
	worldtest.Eventually(t, "its rights and the hold to be in force", func(ctx context.Context) error {
		if _, err := set.CoreV1().ConfigMaps(s.Allowed).Create(ctx, probe, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
			return err
		}
		_, err := set.CoreV1().ConfigMaps(s.Allowed).Create(ctx, probe, metav1.CreateOptions{})
		if err == nil {
			_ = s.Admin.CoreV1().ConfigMaps(s.Allowed).Delete(ctx, "probe", metav1.DeleteOptions{})
			return errors.New("it is not held")
		}
		return nil
	})
	return &breaker{s, set, set.CoreV1().RESTClient(), lists}
}

// everything is the resource version of every object that can be listed, but for those that the API server itself renews.
func (b *breaker) everything(t *testing.T) map[string]string {
	t.Helper()
	seen := map[string]string{}
	for _, list := range b.lists {
		for _, r := range list.APIResources {
			if strings.Contains(r.Name, "/") || !slices.Contains(r.Verbs, "list") || r.Name == "leases" || r.Name == "events" || r.Name == "componentstatuses" {
				continue
			}
			raw, err := b.s.Admin.CoreV1().RESTClient().Get().AbsPath(pathOf(list.GroupVersion, "", r.Name)).Do(t.Context()).Raw()
			require.NoError(t, err, r.Name)
			var found unstructured.UnstructuredList
			require.NoError(t, json.Unmarshal(raw, &found))
			for _, o := range found.Items {
				seen[list.GroupVersion+" "+r.Name+" "+o.GetNamespace()+"/"+o.GetName()] = o.GetResourceVersion()
			}
		}
	}
	return seen
}

func pathOf(groupVersion, namespace string, parts ...string) string {
	path := "/apis/" + groupVersion
	if !strings.Contains(groupVersion, "/") {
		path = "/api/" + groupVersion
	}
	if namespace != "" {
		path += "/namespaces/" + namespace
	}
	return path + "/" + strings.Join(parts, "/")
}

// try is one request that would change something.
type try struct {
	name, verb, path, contentType string
	body                          []byte
	dryRun                        bool
}

func (a try) try(t *testing.T, client rest.Interface) (int, string) {
	t.Helper()
	request := client.Verb(a.verb).AbsPath(a.path).SetHeader("Accept", "application/json")
	if a.dryRun {
		request.Param("dryRun", "All")
	}
	if strings.HasSuffix(a.path, "/exec") || strings.HasSuffix(a.path, "/attach") {
		request.Param("stdout", "true").Param("command", "true")
	}
	if a.body != nil {
		request.SetHeader("Content-Type", a.contentType).Body(a.body)
	}
	result, code := request.Do(t.Context()), 0
	result.StatusCode(&code)
	raw, err := result.Raw()
	return code, fmt.Sprintf("%v %s", err, raw)
}

// attempts are all that the API server says can be asked of it, on an object that is there where there is one.
func (b *breaker) attempts(t *testing.T) (all []try) {
	t.Helper()
	for _, list := range b.lists {
		group, _, _ := strings.Cut(list.GroupVersion, "/")
		if group == unseen {
			continue
		}
		for _, r := range list.APIResources {
			namespace := ""
			if r.Namespaced {
				namespace = b.s.Allowed
			}
			main, sub, _ := strings.Cut(r.Name, "/")
			object := b.object(t, list, main, r, namespace)
			name := object.GetName()
			what := strings.TrimPrefix(group+"/"+r.Name, "v1/")
			add := func(verb, method, path, contentType string, body []byte) {
				a := try{name: verb + " " + what, verb: method, path: path, contentType: contentType, body: body}
				all = append(all, a)
				if isNever(a.name) {
					a.name, a.dryRun = a.name+" as a dry run", true
					all = append(all, a)
				}
			}
			one := pathOf(list.GroupVersion, namespace, strings.Trim(main+"/"+name+"/"+sub, "/"))
			whole := pathOf(list.GroupVersion, namespace, main)
			for _, verb := range r.Verbs {
				switch verb {
				case "create":
					path := one
					if sub == "" {
						path = whole
					}
					add(verb, http.MethodPost, path, "application/json", b.body(t, object, r, list, sub, true))
				case "update":
					add(verb, http.MethodPut, one, "application/json", b.body(t, object, r, list, sub, false))
				case "patch":
					add(verb, http.MethodPatch, one, string(types.MergePatchType), []byte(`{"metadata":{"annotations":{"broken":"yes"}}}`))
				case "delete":
					add(verb, http.MethodDelete, one, "", nil)
				case "deletecollection":
					add(verb, http.MethodDelete, whole, "", nil)
				case "get":
					if sub == "exec" || sub == "attach" || sub == "portforward" || sub == "proxy" {
						add(verb, http.MethodGet, one, "", nil)
					}
				}
			}
		}
	}
	return all
}

// object is one of a resource, or a made-up one where there is none.
func (b *breaker) object(t *testing.T, list *metav1.APIResourceList, main string, r metav1.APIResource, namespace string) *unstructured.Unstructured {
	t.Helper()
	raw, err := b.s.Admin.CoreV1().RESTClient().Get().AbsPath(pathOf(list.GroupVersion, namespace, main)).Do(t.Context()).Raw()
	var found unstructured.UnstructuredList
	if err == nil && json.Unmarshal(raw, &found) == nil {
		for i := range found.Items {
			o := &found.Items[i]
			if o.GetName() != "kube-root-ca.crt" && (namespace != "" || strings.HasPrefix(o.GetName(), "node-") || len(found.Items) == 1 || i == len(found.Items)-1) {
				o.SetAPIVersion(list.GroupVersion)
				o.SetKind(r.Kind)
				return o
			}
		}
	}
	o := &unstructured.Unstructured{Object: map[string]any{}}
	o.SetAPIVersion(list.GroupVersion)
	o.SetKind(r.Kind)
	o.SetName("thing")
	o.SetNamespace(namespace)
	return o
}

// body is an object as it would be sent: a copy under another name to be made, or the same with an annotation more.
func (b *breaker) body(t *testing.T, object *unstructured.Unstructured, r metav1.APIResource, list *metav1.APIResourceList, sub string, create bool) []byte {
	t.Helper()
	o := object.DeepCopy()
	apiVersion := list.GroupVersion
	if r.Version != "" {
		apiVersion = strings.TrimPrefix(r.Group+"/"+r.Version, "/")
	}
	switch {
	case sub == "binding" || r.Name == "bindings":
		o.Object = map[string]any{"target": map[string]any{"kind": "Node", "name": "node"}, "metadata": map[string]any{"name": credentialstest.Checkout}}
	case sub != "" && (sub == "eviction" || sub == "token" || create):
		o.Object = map[string]any{"metadata": map[string]any{"name": object.GetName(), "namespace": object.GetNamespace()}}
		if sub == "token" {
			o.Object["spec"] = map[string]any{"audiences": []any{"x"}}
		}
	case sub == "scale":
		o.Object = map[string]any{"metadata": map[string]any{"name": object.GetName(), "namespace": object.GetNamespace()}, "spec": map[string]any{"replicas": int64(9)}}
	case create:
		o.SetName("copy")
		o.SetResourceVersion("")
		o.SetUID("")
		for _, field := range []string{"clusterIP", "clusterIPs", "nodeName", "selector"} {
			if r.Kind != "Deployment" && r.Kind != "StatefulSet" && r.Kind != "DaemonSet" && r.Kind != "ReplicaSet" {
				unstructured.RemoveNestedField(o.Object, "spec", field)
			}
		}
		if r.Kind == "Job" {
			unstructured.RemoveNestedField(o.Object, "spec", "template", "metadata")
		}
	default:
		o.SetAnnotations(map[string]string{"broken": "yes"})
	}
	o.SetAPIVersion(apiVersion)
	o.SetKind(r.Kind)
	raw, err := o.MarshalJSON()
	require.NoError(t, err)
	return raw
}
