package bench

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
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

// BenchmarkIdentity measures a running hub, one cluster after another: a spoke's join by both factors until its identity is on disk, a
// renewal on an open connection, and the time from the revocation's being committed on the hub's API server until the open stream has
// ended. What is asked on that connection then is refused.
func BenchmarkIdentity(b *testing.B) {
	ctx := b.Context()
	f := start(b, fleet.Options{})
	hub := unhurried(b, f, f.Hub.RESTConfig())
	crowd := crowd{f: f, dir: b.TempDir(), server: enroltest.New("members")}
	members := make([]*member, identities)
	for i := range members {
		members[i] = &member{}
		var err error
		members[i].spoke, members[i].join, err = crowd.register(ctx, fmt.Sprintf("member-%d", i))
		require.NoError(b, err)
	}
	var enrolled, renewed, refused []time.Duration
	for _, m := range members {
		began := time.Now()
		var err error
		m.enrolment, err = m.spoke.Start(ctx, m.join)
		require.NoError(b, err)
		enrolled = append(enrolled, time.Since(began))
	}
	for _, m := range members {
		m.connect(ctx, b)
		began := time.Now()
		require.NoError(b, m.renew(ctx, b))
		renewed = append(renewed, time.Since(began))
	}
	for _, m := range members {
		var object v1alpha1.Cluster
		require.NoError(b, hub.Get(ctx, client.ObjectKey{Name: m.join.Cluster}, &object))
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

// member is a cluster of a crowd, and its one connection.
type member struct {
	spoke     enrol.Spoke
	join      *enrol.Join
	enrolment *enrol.Enrolment
	client    writv1.SpokesClient
	stream    grpc.BidiStreamingClient[writv1.SpokeMessage, writv1.HubMessage]
}

// connect opens the stream, and hears the first word of the hub.
func (m *member) connect(ctx context.Context, b *testing.B) {
	b.Helper()
	conn, err := grpc.NewClient(m.enrolment.Hub.Connect, grpc.WithTransportCredentials(identity.DialCredentials(m.enrolment.Source)))
	require.NoError(b, err)
	b.Cleanup(func() { _ = conn.Close() })
	m.client = writv1.NewSpokesClient(conn)
	m.stream, err = m.client.Connect(ctx)
	require.NoError(b, err)
	require.NoError(b, m.stream.Send(&writv1.SpokeMessage{Body: &writv1.SpokeMessage_Hello{Hello: &writv1.Hello{
		Head: &writv1.Head{Epoch: m.enrolment.Epoch}, Version: &writv1.Version{Capability: capability.Current}, ClusterUid: m.spoke.ClusterUID}}}))
	_, err = m.stream.Recv()
	require.NoError(b, err)
}

func (m *member) renew(ctx context.Context, b *testing.B) error {
	b.Helper()
	key, err := identity.GenerateKey()
	require.NoError(b, err)
	request, err := identity.Request(key)
	require.NoError(b, err)
	_, err = m.client.Renew(ctx, &writv1.RenewRequest{Csr: request, Version: &writv1.Version{Capability: capability.Current}})
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
