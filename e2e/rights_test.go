package e2e

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/credentials/tokenrequest"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/e2e/fleet"
)

// rare are rights that a life without mishaps does not use, each with when it is used.
var rare = map[string]map[string]string{
	"hub": {
		"list writ.dev/actionpolicies":          whereNotStreamed,
		"list writ.dev/actionrequests":          whereNotStreamed,
		"list writ.dev/actiontemplates":         whereNotStreamed,
		"patch writ.dev/actiontemplates/status": "a template is declared",
		"get writ.dev/clusters":                 "a rollout chose its clusters by their labels",
		"list writ.dev/approvals":               whereNotStreamed,
		"list writ.dev/clusters":                whereNotStreamed,
		"list writ.dev/freezes":                 whereNotStreamed,
		"list writ.dev/rollouts":                whereNotStreamed,

		"list certificates.k8s.io/certificatesigningrequests": whereNotStreamed,
		"approve certificates.k8s.io/signers":                 whereSigned,
		"sign certificates.k8s.io/signers":                    whereSigned,
	},
	"spoke": {
		"create batch/jobs":                        whereSandboxed,
		"delete batch/jobs":                        whereSandboxed,
		"create networking.k8s.io/networkpolicies": whereSandboxed,
		"delete networking.k8s.io/networkpolicies": whereSandboxed,
		"list networking.k8s.io/networkpolicies":   whereSandboxed,
		"watch apps/daemonsets":                    whereAwaited,
		"watch apps/replicasets":                   whereAwaited,
		"watch apps/statefulsets":                  whereAwaited,
	},
	"binder": {"bind rbac.authorization.k8s.io/roles": toBind},
	"vault":  toGrant(),
}

// toBind is when the right to bind is used.
const toBind = "a RoleBinding is made; nobody asks for it by itself"

// toGrant are rights that Vault's account has for others: who does not have a right cannot give it.
func toGrant() map[string]string {
	when := map[string]string{"bind rbac.authorization.k8s.io/roles": toBind}
	for _, name := range fleet.Actions {
		for _, rule := range deployspoke.Rules(catalogue.Actions()[name]) {
			for _, right := range rightsOf(rule) {
				when[right] = "it is given to an action's identity"
			}
		}
	}
	return when
}

// whereSandboxed is when Jobs are made.
const whereSandboxed = "the spoke is told an image for its rehearsals and probes; here are no nodes that would run it"

// whereAwaited is when a target is watched.
const whereAwaited = "what was predicted has not come true yet when it is first looked for"

// whereSigned is when the right to a signer is used.
const whereSigned = "a CertificateSigningRequest is answered; admission asks for it"

// whereNotStreamed is when a cache is filled by a list: client-go asks for a watch that begins with all there is.
const whereNotStreamed = "the API server does not stream lists"

// What is granted is used, and nothing is asked for that is not granted: every action of this fleet on every kind it takes, a broken rollout, a hub and
// a spoke that start anew; then who asked the API servers for what, beside what RBAC gives them.
func TestNoRightIsGrantedThatIsNotUsed(t *testing.T) {
	t.Parallel()
	t.Run("with tokens of the API server", func(t *testing.T) {
		t.Parallel()
		f := start(t, fleet.Options{Clusters: []string{"east"}, Audited: true})
		live(t, f)
		for name, who := range map[string]account{
			"hub":    {"hub", "writ-system:writ-hub"},
			"agent":  {"hub", "writ-agent-healer:agent"},
			"spoke":  {"east", "writ-system:writ-spoke"},
			"binder": {"east", "writ-system:writ-binder"},
		} {
			t.Run(name, func(t *testing.T) { requireUsed(t, f, who, rare[name]) })
		}
		for _, action := range fleet.Actions {
			t.Run(action, func(t *testing.T) { requireActed(t, f, action) })
		}
	})
	t.Run("with Vault", func(t *testing.T) {
		t.Parallel()
		f := start(t, fleet.Options{Clusters: []string{"east"}, Audited: true, Vault: true})
		live(t, f)
		for name, who := range map[string]account{
			"spoke": {"east", "writ-system:writ-spoke"},
			"vault": {"east", "writ-system:writ-vault"},
		} {
			t.Run(name, func(t *testing.T) { requireUsed(t, f, who, rare[name]) })
		}
	})
}

// account is a ServiceAccount, as "NAMESPACE:NAME", and where.
type account struct{ cluster, name string }

func requireUsed(t *testing.T, f *fleet.Fleet, who account, rare map[string]string) {
	t.Helper()
	granted := granted(t, f, who)
	used, refused := asked(t, f, who)
	require.NotEmpty(t, used)
	t.Logf("granted %d, used %d", len(granted), len(used))
	require.Empty(t, refused, "asked for, and not granted")
	for right, when := range rare {
		require.Contains(t, granted, right, "an exception for nothing: "+when)
	}
	unused := slices.DeleteFunc(granted, func(right string) bool { return slices.Contains(used, right) || rare[right] != "" })
	require.Empty(t, unused, "granted, and not used")
}

// requireActed holds an action's Role to what its identities used. Each is of one action; that its binding is not in force yet is no
// right that it lacks. What it reads is mostly read by the identity of its rehearsals, for the dry run beside the credential.
func requireActed(t *testing.T, f *fleet.Fleet, action string) {
	t.Helper()
	var granted []string
	for _, rule := range deployspoke.Rules(catalogue.Actions()[action]) {
		granted = append(granted, rightsOf(rule)...)
	}
	requests, err := f.Requests("east")
	require.NoError(t, err)
	rehearses := "system:serviceaccount:" + tokenrequest.Sandbox + ":" + tokenrequest.RehearsalAccount(action)
	var used, refused []string
	for _, r := range requests {
		if reads := strings.HasPrefix(r.Right, "get ") || strings.HasPrefix(r.Right, "list "); reads && r.User == rehearses {
			used = append(used, r.Right)
		}
		account, ofAction := strings.CutPrefix(r.User, "system:serviceaccount:"+tokenrequest.Namespace+":")
		if parts := strings.Split(account, "."); !ofAction || len(parts) < 2 || parts[1] != action {
			continue
		}
		if r.Code == http.StatusForbidden && !slices.Contains(granted, r.Right) {
			refused = append(refused, r.Right)
		}
		used = append(used, r.Right)
	}
	require.NotEmpty(t, used)
	require.Empty(t, refused, "asked for, and not granted")
	require.Empty(t, slices.DeleteFunc(granted, func(right string) bool { return slices.Contains(used, right) }), "granted, and not used")
}

// live has every action of the fleet done on every kind that it takes.
func live(t *testing.T, f *fleet.Fleet) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	w := newWorkloads(t, f)
	broken := w.create(ctx, "checkout")
	template := broken.Spec.Template
	one := int32(1)
	for _, o := range []client.Object{
		&appsv1.StatefulSet{ObjectMeta: named("cart"), Spec: appsv1.StatefulSetSpec{Replicas: &one, Selector: broken.Spec.Selector, Template: template}},
		&appsv1.DaemonSet{ObjectMeta: named("proxy"), Spec: appsv1.DaemonSetSpec{Selector: broken.Spec.Selector, Template: template}},
		&appsv1.ReplicaSet{ObjectMeta: named("bare"), Spec: appsv1.ReplicaSetSpec{Replicas: &one, Selector: broken.Spec.Selector, Template: template}},
	} {
		require.NoError(t, w.east.Create(ctx, o))
	}
	w.create(ctx, "billing")
	for _, target := range []struct{ kind, name string }{{"Deployment", "billing"}, {"StatefulSet", "cart"}, {"DaemonSet", "proxy"}, {"ReplicaSet", "bare"}} {
		for _, action := range []string{"scale", "rollout-restart", "rollback"} {
			if scales := action == "scale"; scales && target.kind == "DaemonSet" || !scales && target.kind == "ReplicaSet" {
				continue
			}
			parameters := ""
			if action == "scale" {
				parameters = `{"replicas":2}`
			}
			r := requestFor(action, target.name, parameters)
			r.Spec.Target.Kind = target.kind
			require.NoError(t, f.Client.Create(ctx, r))
			approved(ctx, t, f, r)
		}
	}
	r := rolloutOf("billing", `{"replicas":3}`, "east")
	require.NoError(t, f.Client.Create(ctx, r))
	rolledOut(ctx, t, f, r, v1alpha1.RolloutSucceeded)
	f.CLI = []string{"XDG_CONFIG_HOME=" + t.TempDir()}
	_, err := f.Writ(ctx, "operator", "login")
	require.NoError(t, err)
	f.KillHub()
	require.NoError(t, f.StartHub(ctx))
	f.KillSpoke("east")
	require.NoError(t, f.StartSpoke(ctx, "east"))
	require.NoError(t, fleet.SetImage(ctx, w.east, "checkout", fleet.BadImage))
	var proposed v1alpha1.ActionRequestList
	require.Eventually(t, func() bool {
		require.NoError(t, f.Client.List(ctx, &proposed, client.InNamespace("writ-agent-healer")))
		return len(proposed.Items) > 0
	}, time.Minute, 50*time.Millisecond)
	approved(ctx, t, f, &proposed.Items[0])
	require.NoError(t, fleet.Ready(ctx, w.east, "checkout", fleet.GoodImage))
	f.KillSpoke("east") // what is watched is written down at its end
	f.KillHub()
}

func named(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: fleet.Namespace, Name: name}
}

// approved takes a request that was made to its end, with an approval where one is waited for.
func approved(ctx context.Context, t *testing.T, f *fleet.Fleet, r *v1alpha1.ActionRequest) {
	t.Helper()
	sre, err := f.As("sam", "sre")
	require.NoError(t, err)
	done, err := f.Until(ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool {
		return r.Status.Phase == v1alpha1.PhaseAwaitingApproval || r.Status.Phase.Final()
	})
	require.NoError(t, err)
	if done.Status.Phase == v1alpha1.PhaseAwaitingApproval {
		require.NoError(t, fleet.Approve(ctx, sre, done, v1alpha1.Approve))
		done, err = f.Until(ctx, client.ObjectKeyFromObject(r), func(r *v1alpha1.ActionRequest) bool { return r.Status.Phase.Final() })
		require.NoError(t, err)
	}
	require.Equal(t, v1alpha1.PhaseSucceeded, done.Status.Phase, "%s of %s %s: %s", r.Spec.Action, r.Spec.Target.Kind, r.Spec.Target.Name, done.Status.Message)
}

// granted are the rights that RBAC gives an account by its own bindings, whatever the namespace.
func granted(t *testing.T, f *fleet.Fleet, who account) []string {
	t.Helper()
	ctx := t.Context()
	c := f.Client
	if who.cluster != "hub" {
		config := f.Clusters[who.cluster].RESTConfig()
		var err error
		c, err = client.NewWithWatch(config, client.Options{Scheme: f.Client.Scheme()})
		require.NoError(t, err)
	}
	rights := map[string]bool{}
	add := func(rules []rbacv1.PolicyRule) {
		for _, rule := range rules {
			for _, right := range rightsOf(rule) {
				rights[right] = true
			}
		}
	}
	var everywhere rbacv1.ClusterRoleBindingList
	require.NoError(t, c.List(ctx, &everywhere))
	for _, b := range everywhere.Items {
		if names(b.Subjects, who.name) {
			var role rbacv1.ClusterRole
			require.NoError(t, c.Get(ctx, client.ObjectKey{Name: b.RoleRef.Name}, &role))
			add(role.Rules)
		}
	}
	var somewhere rbacv1.RoleBindingList
	require.NoError(t, c.List(ctx, &somewhere))
	for _, b := range somewhere.Items {
		if names(b.Subjects, who.name) {
			var role rbacv1.Role
			require.Equal(t, "Role", b.RoleRef.Kind)
			require.NoError(t, c.Get(ctx, client.ObjectKey{Namespace: b.Namespace, Name: b.RoleRef.Name}, &role))
			add(role.Rules)
		}
	}
	return slices.Sorted(maps.Keys(rights))
}

// rightsOf are the rights of a rule, as fleet.Request has them.
func rightsOf(rule rbacv1.PolicyRule) (rights []string) {
	for _, group := range rule.APIGroups {
		for _, resource := range rule.Resources {
			for _, verb := range rule.Verbs {
				rights = append(rights, verb+" "+strings.TrimPrefix(group+"/"+resource, "/"))
			}
		}
	}
	return rights
}

func names(subjects []rbacv1.Subject, account string) bool {
	return slices.ContainsFunc(subjects, func(s rbacv1.Subject) bool {
		return s.Kind == rbacv1.ServiceAccountKind && s.Namespace+":"+s.Name == account
	})
}

// asked are the rights that an account used, and those that it asked for in vain.
func asked(t *testing.T, f *fleet.Fleet, who account) (used, refused []string) {
	t.Helper()
	requests, err := f.Requests(who.cluster)
	require.NoError(t, err)
	for _, r := range requests {
		if r.User != "system:serviceaccount:"+who.name {
			continue
		}
		if r.Code == http.StatusForbidden {
			refused = append(refused, r.Right)
		} else if !slices.Contains(used, r.Right) {
			used = append(used, r.Right)
		}
	}
	return used, refused
}
