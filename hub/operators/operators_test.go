package operators

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/writ-dev/writ/api/v1alpha1"
	deployhub "github.com/writ-dev/writ/deploy/hub"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/hub/store/badgerstore"
	"github.com/writ-dev/writ/internal/apply"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/internal/world/cluster"
	"github.com/writ-dev/writ/internal/world/worldtest"
)

func TestMain(m *testing.M) { worldtest.Main(m) }

var domain = spiffeid.RequireTrustDomainFromString("writ.test")

const bindings = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: asks}
rules: [{apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests], verbs: [create, get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: asks}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: asks}
subjects: [{kind: Group, name: "system:authenticated"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: operators}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: writ-operator}
subjects:
  - {kind: User, name: "oidc:olga@example.org"}
  - {kind: Group, name: fleet-team}
  - {kind: ServiceAccount, name: agent, namespace: writ-agent-healer}
`

// house is a hub's API server, where the hub's own account answers those who ask to be operators.
type house struct {
	*cluster.Cluster
	*Operators
	t     *testing.T
	admin client.Client
	ca    *identity.CA
	ahead atomic.Int64 // of the clock of the hub, in nanoseconds
	run   func()       // until the test ends
}

func scheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{certificatesv1.AddToScheme, authorizationv1.AddToScheme, rbacv1.AddToScheme} {
		require.NoError(t, add(s))
	}
	return s
}

func newHouse(t *testing.T) *house {
	t.Helper()
	c := worldtest.Cluster(t, cluster.Options{Name: "operators"})
	require.NoError(t, apply.YAML(t.Context(), c.RESTConfig(), deployhub.CRDs(), deployhub.Manifests(), deployhub.AgentClass("healer"), []byte(bindings)))
	h := &house{Cluster: c, t: t, admin: clientOf(t, c.RESTConfig())}
	path, err := c.KubeconfigForServiceAccount(t.Context(), "writ-system", "writ-hub", time.Hour)
	require.NoError(t, err)
	hub, err := cluster.LoadKubeconfig(path)
	require.NoError(t, err)
	m, err := ctrl.NewManager(hub, ctrl.Options{Scheme: scheme(t), Logger: logr.Discard(),
		Metrics: metricsserver.Options{BindAddress: "0"}, HealthProbeBindAddress: "0"})
	require.NoError(t, err)
	quiet := slog.New(slog.DiscardHandler)
	records, err := badgerstore.Open(t.TempDir(), quiet)
	require.NoError(t, err)
	h.ca, err = identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	h.Operators = New(Parts{Store: records, CA: h.ca, TrustDomain: domain, Client: m.GetClient(), Log: quiet,
		Now: func() time.Time { return time.Now().Add(time.Duration(h.ahead.Load())) }})
	require.NoError(t, h.Watch(m))
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	h.run = func() { group.Go(func() { _ = m.Start(ctx) }) }
	t.Cleanup(func() { cancel(); group.Wait(); require.NoError(t, records.Close()) })
	return h
}

func clientOf(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	c, err := client.New(config, client.Options{Scheme: scheme(t)})
	require.NoError(t, err)
	return c
}

// as is somebody's client.
func (h *house) as(user string, groups ...string) client.Client {
	h.t.Helper()
	config := rest.CopyConfig(h.RESTConfig())
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	return clientOf(h.t, config)
}

func plain(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	der, err := identity.Request(key)
	require.NoError(t, err)
	return der
}

func request(der []byte) *certificatesv1.CertificateSigningRequest {
	return &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}, Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: v1alpha1.OperatorSigner, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
		Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageClientAuth}}}
}

// answer waits until a request has been answered.
func (h *house) answer(csr *certificatesv1.CertificateSigningRequest) {
	h.t.Helper()
	worldtest.Eventually(h.t, "an answer to "+csr.Name, func(ctx context.Context) error {
		if err := h.admin.Get(ctx, client.ObjectKeyFromObject(csr), csr); err != nil {
			return err
		}
		if len(csr.Status.Certificate) > 0 || has(csr, certificatesv1.CertificateDenied) || has(csr, certificatesv1.CertificateFailed) {
			return nil
		}
		return errors.New("none yet")
	})
}

// login is an SVID that somebody has asked for with a request.
func (h *house) login(c client.Client, key crypto.Signer, der []byte) *identity.SVID {
	h.t.Helper()
	csr := request(der)
	require.NoError(h.t, c.Create(h.t.Context(), csr))
	h.answer(csr)
	block, rest := pem.Decode(csr.Status.Certificate)
	require.NotNil(h.t, block, "%+v", csr.Status.Conditions)
	require.Empty(h.t, rest)
	svid, err := identity.NewSVID([][]byte{block.Bytes}, key)
	require.NoError(h.t, err)
	return svid
}

func (h *house) records() []store.Item {
	h.t.Helper()
	items, err := h.Store.Scan(h.t.Context(), "", "", 100)
	require.NoError(h.t, err)
	return items
}

func newKey(t *testing.T) crypto.Signer {
	t.Helper()
	key, err := identity.GenerateKey()
	require.NoError(t, err)
	return key
}

func TestAnOperatorGetsAnSVIDWithTheNameThatTheAPIServerSays(t *testing.T) {
	h := newHouse(t)
	h.run()
	key := newKey(t)
	caBit, err := asn1.Marshal(struct{ IsCA bool }{true})
	require.NoError(t, err)
	east, err := url.Parse("spiffe://writ.test/cluster/east")
	require.NoError(t, err)
	hub, err := url.Parse("spiffe://writ.test/hub")
	require.NoError(t, err)
	forged, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "east", SerialNumber: "1"},
		URIs: []*url.URL{east, hub}, DNSNames: []string{"hub.writ.test"},
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: caBit}}}, key)
	require.NoError(t, err)
	for name, der := range map[string][]byte{"a plain key": plain(t, key), "another name, two URIs and the CA bit": forged} {
		t.Run(name, func(t *testing.T) {
			svid := h.login(h.as("oidc:olga@example.org"), key, der)
			leaf := svid.Leaf()
			require.Equal(t, "spiffe://writ.test/operator/oidc_3aolga_40example.org", svid.ID.String())
			require.Len(t, leaf.URIs, 1)
			require.Empty(t, leaf.DNSNames)
			require.Empty(t, leaf.Subject.Names)
			require.False(t, leaf.IsCA)
			require.Equal(t, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, leaf.ExtKeyUsage)
			require.WithinDuration(t, time.Now().Add(time.Hour), leaf.NotAfter, time.Minute)
			user, err := h.Authorise(t.Context(), leaf)
			require.NoError(t, err)
			require.Equal(t, "oidc:olga@example.org", user)
		})
	}
	t.Run("by a group", func(t *testing.T) {
		user, err := h.Authorise(t.Context(), h.login(h.as("kim", "fleet-team"), key, plain(t, key)).Leaf())
		require.NoError(t, err)
		require.Equal(t, "kim", user)
	})
}

func TestWhoMayNotOperateGetsNothing(t *testing.T) {
	h := newHouse(t)
	h.run()
	key := newKey(t)
	olga := h.as("oidc:olga@example.org")
	fat, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3}, Value: make([]byte, 8<<10)}}}, key)
	require.NoError(t, err)
	agent, err := h.KubeconfigForServiceAccount(t.Context(), "writ-agent-healer", "agent", time.Hour)
	require.NoError(t, err)
	config, err := cluster.LoadKubeconfig(agent)
	require.NoError(t, err)
	for name, c := range map[string]struct {
		by     client.Client
		change func(*certificatesv1.CertificateSigningRequest)
		reason string
	}{
		"nobody's role":         {h.as("nobody"), nil, notAnOperator},
		"a name nearly alike":   {h.as("oidc_3aolga_40example.org"), nil, notAnOperator},
		"an agent, bound to it": {clientOf(t, config), nil, notAnOperator},
		"a name too long":       {h.as(strings.Repeat("x", 300), "fleet-team"), nil, unacceptable},
		"an oversized request": {olga, func(r *certificatesv1.CertificateSigningRequest) {
			r.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: fat})
		}, unacceptable},
		"two requests": {olga, func(r *certificatesv1.CertificateSigningRequest) {
			r.Spec.Request = append(r.Spec.Request, r.Spec.Request...)
		}, unacceptable},
		"to sign certificates": {olga, func(r *certificatesv1.CertificateSigningRequest) {
			r.Spec.Usages = append(r.Spec.Usages, certificatesv1.UsageCertSign)
		}, unacceptable},
		"to serve": {olga, func(r *certificatesv1.CertificateSigningRequest) { r.Spec.Usages[1] = certificatesv1.UsageServerAuth }, unacceptable},
	} {
		t.Run(name, func(t *testing.T) {
			csr := request(plain(t, key))
			if c.change != nil {
				c.change(csr)
			}
			require.NoError(t, c.by.Create(t.Context(), csr))
			h.answer(csr)
			require.True(t, has(csr, certificatesv1.CertificateDenied))
			require.Len(t, csr.Status.Conditions, 1)
			require.Equal(t, c.reason, csr.Status.Conditions[0].Reason, csr.Status.Conditions[0].Message)
			require.Empty(t, csr.Status.Certificate)
			require.Empty(t, h.records())
		})
	}
	t.Run("to another signer", func(t *testing.T) {
		other := request(plain(t, key))
		other.Spec.SignerName = "example.org/other"
		require.NoError(t, olga.Create(t.Context(), other))
		_, err := h.take(t.Context(), reconcileOf(other))
		require.NoError(t, err)
		h.login(olga, key, plain(t, key)) // what came after has been answered
		require.NoError(t, h.admin.Get(t.Context(), client.ObjectKeyFromObject(other), other))
		require.Empty(t, other.Status.Conditions)
		require.Empty(t, other.Status.Certificate)
		require.Len(t, h.records(), 1, "the other's alone")
	})
}

// What was asked for, and approved by others, while the hub was away is judged all the same.
func TestWhatHasWaitedIsJudged(t *testing.T) {
	h := newHouse(t)
	key := newKey(t)
	approved, fresh := request(plain(t, key)), request(plain(t, key))
	require.NoError(t, h.as("nobody").Create(t.Context(), approved))
	require.NoError(t, h.as("oidc:olga@example.org").Create(t.Context(), fresh))
	say(approved, certificatesv1.CertificateApproved, "Generous", "by an administrator")
	require.NoError(t, h.admin.SubResource("approval").Update(t.Context(), approved))
	h.run()
	h.answer(approved)
	require.True(t, has(approved, certificatesv1.CertificateFailed))
	require.Equal(t, notAnOperator, approved.Status.Conditions[len(approved.Status.Conditions)-1].Reason)
	require.Empty(t, approved.Status.Certificate)
	h.answer(fresh)
	require.NotEmpty(t, fresh.Status.Certificate)
	require.Len(t, h.records(), 1)

	h.ahead.Store(int64(freshFor + time.Minute))
	stale := request(plain(t, key))
	require.NoError(t, h.as("oidc:olga@example.org").Create(t.Context(), stale))
	h.answer(stale)
	require.Equal(t, tooOld, stale.Status.Conditions[0].Reason)
	require.Empty(t, stale.Status.Certificate)
	require.Len(t, h.records(), 1)
}

// Whoever is bound no more calls no more, within seconds; and comes back as soon.
func TestARightThatIsTakenAwayEndsTheSVID(t *testing.T) {
	h := newHouse(t)
	h.run()
	key := newKey(t)
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "rita"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "writ-operator"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "rita"}}}
	require.NoError(t, h.admin.Create(t.Context(), binding.DeepCopy()))
	rita := h.as("rita")
	var leaf *x509.Certificate
	worldtest.Eventually(t, "the binding to be in force", func(ctx context.Context) error {
		csr := request(plain(t, key))
		if err := rita.Create(ctx, csr); err != nil {
			return err
		}
		h.answer(csr)
		if len(csr.Status.Certificate) == 0 {
			return errors.New(csr.Status.Conditions[0].Message)
		}
		block, _ := pem.Decode(csr.Status.Certificate)
		var err error
		leaf, err = x509.ParseCertificate(block.Bytes)
		return err
	})
	_, err := h.Authorise(t.Context(), leaf)
	require.NoError(t, err)
	require.NoError(t, h.admin.Delete(t.Context(), binding))
	began := time.Now()
	worldtest.Eventually(t, "the right to end", func(ctx context.Context) error {
		user, err := h.Authorise(ctx, leaf)
		if status.Code(err) == codes.PermissionDenied {
			require.Equal(t, "rita", user)
			return nil
		}
		return fmt.Errorf("still: %w", errors.Join(errors.New("allowed"), err))
	})
	require.Less(t, time.Since(began), believed+5*time.Second)
	t.Logf("ended after %s", time.Since(began).Round(time.Millisecond))
}

func TestOnlyWhatIsOnRecordCounts(t *testing.T) {
	h := newHouse(t)
	h.run()
	key := newKey(t)
	svid := h.login(h.as("oidc:olga@example.org"), key, plain(t, key))
	before := h.records()
	refused := func(t *testing.T, leaf *x509.Certificate, code codes.Code) {
		t.Helper()
		_, err := h.Authorise(t.Context(), leaf)
		require.Equal(t, code, status.Code(err), "%v", err)
		require.Equal(t, before, h.records())
	}
	issued := func(id spiffeid.ID) *x509.Certificate {
		made, err := h.ca.Make(t.Context(), "", id, time.Now(), time.Hour)
		require.NoError(t, err)
		return made.Leaf()
	}
	t.Run("made with the CA's key elsewhere", func(t *testing.T) { refused(t, issued(svid.ID), codes.PermissionDenied) })
	t.Run("a cluster's", func(t *testing.T) {
		east, err := identity.Cluster(domain, "east")
		require.NoError(t, err)
		refused(t, issued(east), codes.PermissionDenied)
	})
	t.Run("the hub's", func(t *testing.T) { refused(t, issued(identity.Hub(domain)), codes.PermissionDenied) })
	t.Run("where the API server is away", func(t *testing.T) {
		away := New(h.Parts)
		away.Client = clientOf(t, &rest.Config{Host: "https://127.0.0.1:1"})
		_, err := away.Authorise(t.Context(), svid.Leaf())
		require.Equal(t, codes.Unavailable, status.Code(err))
	})
	t.Run("too many calls", func(t *testing.T) {
		busy := New(h.Parts)
		now := time.Now()
		busy.Now = func() time.Time { return now }
		for range burst {
			_, err := busy.Authorise(t.Context(), svid.Leaf())
			require.NoError(t, err)
		}
		_, err := busy.Authorise(t.Context(), svid.Leaf())
		require.Equal(t, codes.ResourceExhausted, status.Code(err))
	})
	t.Run("after its end", func(t *testing.T) {
		h.ahead.Store(int64(identity.Life + time.Second))
		defer h.ahead.Store(0)
		refused(t, svid.Leaf(), codes.PermissionDenied)
		require.NoError(t, h.keep(t.Context(), issued(svid.ID), record{User: "later"}))
		require.Len(t, h.records(), 1, "and its record goes with the next one")
		require.NotEqual(t, before, h.records())
	})
}

func reconcileOf(o client.Object) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKeyFromObject(o)}
}
