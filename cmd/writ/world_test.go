package main

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/trustfile"
	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/cmd/writ/access"
	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/hub/intake"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/world/cluster"
)

// people are bound to the roles of deploy/hub.
const people = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: alice}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writ-requester}
subjects: [{kind: User, name: alice}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: bob}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writ-approver}
subjects: [{kind: User, name: bob}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: olga}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writ-operator}
subjects: [{kind: User, name: olga}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: frida}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writ-freezer}
subjects: [{kind: User, name: frida}]
`

// clusters are those that the tests of this binary started, by name.
var clusters struct {
	sync.Mutex
	started map[string]*cluster.Cluster
}

// world stops the clusters after the tests.
type world struct{ m *testing.M }

func (w world) Run() int {
	defer func() {
		for _, c := range clusters.started {
			c.Stop()
		}
	}()
	return w.m.Run()
}

func started(t *testing.T, name string) *cluster.Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a real API server; run without -short")
	}
	clusters.Lock()
	defer clusters.Unlock()
	if c := clusters.started[name]; c != nil {
		return c
	}
	c, err := cluster.Start(context.Background(), cluster.Options{Name: name, Progress: os.Stderr}) // outlives the test
	require.NoError(t, err)
	if clusters.started == nil {
		clusters.started = map[string]*cluster.Cluster{}
	}
	clusters.started[name] = c
	return c
}

// hub is a hub cluster on which a hub has once run: everything but the hub itself is real.
type hub struct {
	*cluster.Cluster
	admin client.Client
	dir   string // with root.json
}

func prepared(t *testing.T) *hub {
	c, dir := started(t, "hub"), t.TempDir()
	require.NoError(t, apply.YAML(t.Context(), c.RESTConfig(), deployhub.CRDs(), deployhub.Manifests(), []byte(people)))
	td := spiffeid.RequireTrustDomainFromString("test.writ.dev")
	ca, err := identity.LoadCA(filepath.Join(dir, "ca"), td, time.Now())
	require.NoError(t, err)
	require.NoError(t, trustfile.Init(filepath.Join(dir, "trust"), trustfile.Approvers{}, nil, time.Now()))
	root, err := os.ReadFile(filepath.Join(dir, "trust", trustfile.RootFile))
	require.NoError(t, err)
	require.NoError(t, intake.Publish(t.Context(), c.RESTConfig(), intake.Joining{Enrol: "127.0.0.1:7443", Connect: "127.0.0.1:7444",
		TrustDomain: td.Name(), Authorities: ca.Authorities().PEM(), TrustRoot: root, AuditKey: "test"}))
	h := &hub{c, clientOf(t, c.RESTConfig()), dir}
	h.awaitSchemas(t)
	return h
}

// awaitSchemas waits until admission policies know the kinds that were defined a moment ago: until then they fail closed.
func (h *hub) awaitSchemas(t *testing.T) {
	t.Helper()
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		meta := metav1.ObjectMeta{Namespace: "default", Name: "probe"}
		target := v1alpha1.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout"}
		for _, probe := range []client.Object{
			&v1alpha1.ActionRequest{ObjectMeta: meta, Spec: v1alpha1.ActionRequestSpec{Cluster: "east", Action: "scale", Target: target}},
			&v1alpha1.Rollout{ObjectMeta: meta, Spec: v1alpha1.RolloutSpec{Request: v1alpha1.RequestTemplate{Action: "scale", Target: target}, Pause: "0s",
				OnFailure: v1alpha1.FailureStop, Selector: v1alpha1.ClusterSelector{Names: []string{"east"}}, Waves: []v1alpha1.Wave{{Canary: new(int32(1))}}}},
			&v1alpha1.Approval{ObjectMeta: meta, Spec: v1alpha1.ApprovalSpec{Request: "r", OrderDigest: bundle.Digest(nil), Verdict: v1alpha1.Deny}},
		} {
			require.NoError(t, h.admin.Create(context.Background(), probe, client.DryRunAll))
		}
	}, 30*time.Second, 100*time.Millisecond)
}

func clientOf(t testing.TB, config *rest.Config) client.Client {
	c, err := client.New(config, client.Options{Scheme: access.Scheme()})
	require.NoError(t, err)
	return c
}
