package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/capability"
	"github.com/writ-dev/writ/api/v1alpha1"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/hub/enrol/enroltest"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/spoke/enrol"
)

// identities is how many clusters join, renew and are revoked: fewer than an address may try at once.
const identities = 100

// BenchmarkIdentity measures a running hub, one cluster after another: a join by both factors, a renewal on an open connection, and
// the time from the revocation's being committed on the hub's API server until the open stream has ended. What is asked on that
// connection then is refused.
func BenchmarkIdentity(b *testing.B) {
	ctx := b.Context()
	f := start(b, fleet.Options{Clusters: []string{"east"}, Bare: true})
	hub := unhurried(b, f, f.Hub.RESTConfig())
	joining := make([]*member, identities)
	for i := range joining {
		joining[i] = register(b, f, fmt.Sprintf("member-%d", i))
	}
	var enrolled, renewed, refused []time.Duration
	for _, m := range joining {
		began := time.Now()
		m.enrol(ctx, b)
		enrolled = append(enrolled, time.Since(began))
	}
	for _, m := range joining {
		m.connect(ctx, b)
		began := time.Now()
		require.NoError(b, m.renew(ctx, b))
		renewed = append(renewed, time.Since(began))
	}
	for _, m := range joining {
		var object v1alpha1.Cluster
		require.NoError(b, hub.Get(ctx, client.ObjectKey{Name: m.name}, &object))
		before := object.DeepCopy()
		object.Spec.Revoked = &v1alpha1.Revocation{Reason: "a benchmark"}
		require.NoError(b, hub.Patch(ctx, &object, client.MergeFrom(before)))
		began := time.Now()
		require.Equal(b, codes.PermissionDenied, status.Code(m.ended()))
		refused = append(refused, time.Since(began))
		require.Equal(b, codes.PermissionDenied, status.Code(m.renew(ctx, b)))
	}
	report(b, "enrolled", enrolled)
	report(b, "renewed", renewed)
	report(b, "refused", refused)
	for name, took := range map[string][]time.Duration{"enrolled": enrolled, "renewed": renewed} {
		var all time.Duration
		for _, one := range took {
			all += one
		}
		b.ReportMetric(float64(len(took))/all.Seconds(), name+"/s")
	}
}

// member is a cluster that joins, whose API server is played.
type member struct {
	name, token string
	server      enroltest.Server
	hub         enrol.Hub
	authorities *identity.Authorities

	svid   *identity.SVID
	client writv1.SpokesClient
	stream grpc.BidiStreamingClient[writv1.SpokeMessage, writv1.HubMessage]
}

func register(b *testing.B, f *fleet.Fleet, name string) *member {
	b.Helper()
	m, dir := &member{name: name, server: enroltest.New(name)}, b.TempDir()
	file, keys := filepath.Join(dir, "join"), filepath.Join(dir, "jwks.json")
	require.NoError(b, os.WriteFile(keys, []byte(m.server.JWKS()), 0o600))
	_, err := f.Writ(b.Context(), "cluster", "register", name, "-f", file, "--jwks", keys, "--issuer", enroltest.Issuer, "--cluster-uid", "uid-of-"+name)
	require.NoError(b, err)
	raw, err := os.ReadFile(file)
	require.NoError(b, err)
	join, err := enrol.ParseJoin(raw)
	require.NoError(b, err)
	m.token, m.hub = join.Token, join.Hub
	m.authorities, err = identity.ParseAuthorities([]byte(join.Authorities))
	require.NoError(b, err)
	return m
}

func (m *member) dial(b *testing.B, address string, creds credentials.TransportCredentials) *grpc.ClientConn {
	b.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	return conn
}

func version() *writv1.Version {
	return &writv1.Version{Capability: capability.Current, Release: "bench"}
}

func (m *member) enrol(ctx context.Context, b *testing.B) {
	b.Helper()
	key, err := identity.GenerateKey()
	require.NoError(b, err)
	request, err := identity.Request(key)
	require.NoError(b, err)
	public, _, err := ed25519.GenerateKey(nil)
	require.NoError(b, err)
	receipt, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(b, err)
	conn := m.dial(b, m.hub.Enrol, credentials.NewTLS(identity.EnrolClientTLS(m.authorities)))
	answer, err := writv1.NewEnrolmentClient(conn).Enrol(ctx, &writv1.EnrolRequest{Cluster: m.name, Token: m.token, Csr: request, ClusterUid: "uid-of-" + m.name,
		ReceiptKey: receipt, AccountToken: m.server.Token(enroltest.Claims()), Version: version()})
	require.NoError(b, err)
	m.svid, err = identity.NewSVID(answer.Chain, key)
	require.NoError(b, err)
}

// connect opens the stream, and hears the first word of the hub.
func (m *member) connect(ctx context.Context, b *testing.B) {
	b.Helper()
	m.client = writv1.NewSpokesClient(m.dial(b, m.hub.Connect, identity.DialCredentials(identity.NewSource(m.svid, m.authorities))))
	var err error
	m.stream, err = m.client.Connect(ctx)
	require.NoError(b, err)
	require.NoError(b, m.stream.Send(&writv1.SpokeMessage{Body: &writv1.SpokeMessage_Hello{Hello: &writv1.Hello{
		Head: &writv1.Head{Epoch: 1}, Version: version(), ClusterUid: "uid-of-" + m.name}}}))
	_, err = m.stream.Recv()
	require.NoError(b, err)
}

func (m *member) renew(ctx context.Context, b *testing.B) error {
	b.Helper()
	key, err := identity.GenerateKey()
	require.NoError(b, err)
	request, err := identity.Request(key)
	require.NoError(b, err)
	_, err = m.client.Renew(ctx, &writv1.RenewRequest{Csr: request, Version: version()})
	return err
}

// ended is why the stream has ended, once it has.
func (m *member) ended() error {
	for {
		if _, err := m.stream.Recv(); err != nil {
			return err
		}
	}
}
