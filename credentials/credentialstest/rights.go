package credentialstest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/credentials/tokenrequest"
	"github.com/writ-dev/writ/deploy/spoke"
)

// least is the shortest life that the API server gives a token.
const least = 10 * time.Minute

// asked are what Rights asks about, each in every namespace and for every name.
var asked = []struct {
	group, resources, verbs string
	clusterWide             bool
}{
	{group: "apps", resources: "deployments deployments/scale deployments/status statefulsets statefulsets/scale daemonsets replicasets replicasets/scale controllerrevisions", verbs: all},
	{group: "", resources: "pods pods/exec pods/attach pods/portforward pods/log pods/eviction pods/ephemeralcontainers pods/resize", verbs: all},
	{group: "", resources: "secrets configmaps services serviceaccounts serviceaccounts/token persistentvolumeclaims", verbs: all},
	{group: "batch", resources: "jobs cronjobs", verbs: all},
	{group: "policy", resources: "poddisruptionbudgets", verbs: all},
	{group: "networking.k8s.io", resources: "networkpolicies", verbs: all},
	{group: "rbac.authorization.k8s.io", resources: "roles rolebindings", verbs: all + " bind escalate"},
	{group: "", resources: "namespaces", verbs: all, clusterWide: true},
	{group: "", resources: "nodes nodes/proxy persistentvolumes", verbs: all, clusterWide: true},
	{group: "rbac.authorization.k8s.io", resources: "clusterroles clusterrolebindings", verbs: all + " bind escalate", clusterWide: true},
	{group: "admissionregistration.k8s.io", resources: "validatingwebhookconfigurations mutatingadmissionpolicies", verbs: all, clusterWide: true},
	{group: "certificates.k8s.io", resources: "certificatesigningrequests certificatesigningrequests/approval", verbs: all, clusterWide: true},
	{group: "apiextensions.k8s.io", resources: "customresourcedefinitions", verbs: all, clusterWide: true},
	{group: "", resources: "users groups serviceaccounts", verbs: "impersonate", clusterWide: true},
}

const all = "get list watch create update patch delete deletecollection"

// Rights asks the API server's own authorizer for all that an identity may do, and returns what it may: "patch
// apps/deployments/scale allowed/checkout". Names of namespaces are replaced: "allowed", "other".
func (s *Scene) Rights(t testing.TB, config *rest.Config) []string {
	t.Helper()
	config = rest.CopyConfig(config)
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	require.NoError(t, err)
	questions := s.questions()
	granted := make([]string, len(questions))
	group, ctx := errgroup.WithContext(t.Context())
	group.SetLimit(8)
	for i, q := range questions {
		group.Go(func() error {
			answer, err := client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authorizationv1.SelfSubjectAccessReview{
				Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &q}}, metav1.CreateOptions{})
			if err == nil && answer.Status.Allowed {
				granted[i] = s.say(q)
			}
			return err
		})
	}
	require.NoError(t, group.Wait())
	granted = slices.DeleteFunc(granted, func(right string) bool { return right == "" })
	slices.Sort(granted)
	return granted
}

// someAction is an account such as an action on the workloads of a scene has.
var someAction = tokenrequest.AccountName("0123456789abcdef", "scale", "deployments", Checkout)

func (s *Scene) questions() (out []authorizationv1.ResourceAttributes) {
	accounts := []string{spoke.SpokeAccount, spoke.VaultAccount, tokenrequest.Binder, someAction, tokenrequest.RehearsalAccount("scale"), "default"}
	for _, a := range asked {
		for resource := range strings.FieldsSeq(a.resources) {
			resource, subresource, _ := strings.Cut(resource, "/")
			for verb := range strings.FieldsSeq(a.verbs) {
				ask := func(namespace string, names ...string) {
					for _, name := range names {
						out = append(out, authorizationv1.ResourceAttributes{Group: a.group, Resource: resource, Subresource: subresource,
							Verb: verb, Namespace: namespace, Name: name})
					}
				}
				if a.clusterWide {
					ask("", "", metav1.NamespaceSystem, s.Other)
					continue
				}
				names := []string{"", Checkout, Payment}
				if resource == "serviceaccounts" {
					names = append(names, accounts...)
				}
				for _, namespace := range []string{s.Allowed, s.Other, spoke.SystemNamespace, tokenrequest.Namespace, tokenrequest.Sandbox, metav1.NamespaceSystem} {
					ask(namespace, names...)
				}
			}
		}
	}
	return out
}

func (s *Scene) say(q authorizationv1.ResourceAttributes) string {
	resource := strings.Trim(q.Group+"/"+q.Resource+"/"+q.Subresource, "/")
	where := q.Namespace
	switch q.Namespace {
	case s.Allowed:
		where = "allowed"
	case s.Other:
		where = "other"
	}
	name := q.Name
	if name == "" {
		name = "*"
	}
	return fmt.Sprintf("%s %s %s/%s", q.Verb, resource, where, name)
}

// Changing keeps those rights that change something or reveal a secret.
func Changing(rights []string) []string {
	return slices.DeleteFunc(slices.Clone(rights), func(right string) bool {
		verb, what, _ := strings.Cut(right, " ")
		reads := verb == "get" || verb == "list" || verb == "watch"
		return reads && !strings.HasPrefix(what, "secrets") && !strings.HasPrefix(what, "pods/") && !strings.HasPrefix(what, "nodes/")
	})
}
