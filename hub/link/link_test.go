package link

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/writ-dev/writ/api/capability"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

const patience = 10 * time.Second

var domain = spiffeid.RequireTrustDomainFromString("writ.test")

// desk is everything behind a link, in memory.
type desk struct {
	mu       sync.Mutex
	revoked  map[string]bool
	queue    map[string][][]byte // sequence 1 is at index 0
	wake     map[string]chan struct{}
	heard    []string
	failing  bool
	faults   int
	presence map[string]int
	heads    atomic.Int64

	crew  *crew
	ahead atomic.Int64 // of the clock, in nanoseconds

	resets    map[string][]byte
	confirmed []string
	refused   []string
}

func newDesk() *desk {
	return &desk{revoked: map[string]bool{}, queue: map[string][][]byte{}, wake: map[string]chan struct{}{}, presence: map[string]int{}, crew: &crew{}}
}

func (d *desk) now() time.Time { return time.Now().Add(time.Duration(d.ahead.Load())) }

func (d *desk) Authorise(_ context.Context, leaf *x509.Certificate) (Cluster, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	id, err := identity.IDOf(leaf)
	if err != nil {
		return Cluster{}, false, err
	}
	name, ok := identity.ClusterName(domain, id)
	return Cluster{Name: name, UID: "uid-of-" + name, Epoch: 3}, ok && !d.revoked[name], nil
}

func (d *desk) Reset(_ context.Context, cluster string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.resets[cluster], nil
}

func (d *desk) Renew(_ context.Context, cluster string, _ *writv1.RenewRequest) (*writv1.RenewResponse, error) {
	return &writv1.RenewResponse{Authorities: []byte(cluster)}, nil
}

func (d *desk) Next(_ context.Context, cluster string, after uint64) (uint64, []byte, bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if after >= uint64(len(d.queue[cluster])) {
		return 0, nil, false, nil
	}
	return after + 1, d.queue[cluster][after], true, nil
}

func (d *desk) Wake(cluster string) <-chan struct{} { return d.wakeOf(cluster) }

func (d *desk) wakeOf(cluster string) chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.wake[cluster] == nil {
		d.wake[cluster] = make(chan struct{}, 1)
	}
	return d.wake[cluster]
}

func (d *desk) put(cluster string, bundles ...[]byte) {
	d.mu.Lock()
	d.queue[cluster] = append(d.queue[cluster], bundles...)
	d.mu.Unlock()
	select {
	case d.wakeOf(cluster) <- struct{}{}:
	default:
	}
}

func (d *desk) Confirm(_ context.Context, cluster string, epoch, sequence uint64, digest string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.confirmed = append(d.confirmed, fmt.Sprintf("%s %d/%d %s", cluster, epoch, sequence, digest))
	return nil
}

func (d *desk) Position(_ context.Context, cluster string) (uint64, uint64, string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := uint64(len(d.queue[cluster]))
	if n == 0 {
		return 0, 0, "", nil // as the gateway says before the first
	}
	return 3, n, fmt.Sprintf("digest-%d", n), nil
}

func (d *desk) Head(_ context.Context, cluster string, _ uint32) ([]byte, error) {
	d.heads.Add(1)
	return []byte("head of " + cluster), nil
}

func (d *desk) note(format string, args ...any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failing {
		d.faults++
		return fmt.Errorf("the disk is full")
	}
	d.heard = append(d.heard, fmt.Sprintf(format, args...))
	return nil
}

func (d *desk) Taken(_ context.Context, cluster string, epoch, sequence uint64, id string) error {
	return d.note("%s taken %d/%d %s", cluster, epoch, sequence, id)
}

func (d *desk) Rejected(_ context.Context, cluster string, sequence uint64, reason, detail string) error {
	return d.note("%s rejected %d %s %s", cluster, sequence, reason, detail)
}

func (d *desk) Receipt(_ context.Context, cluster, id string, envelope, _ []byte) error {
	return d.note("%s receipt %s %s", cluster, id, envelope)
}

func (d *desk) Outcome(_ context.Context, cluster, id string, envelope []byte) error {
	return d.note("%s outcome %s %s", cluster, id, envelope)
}

func (d *desk) Rehearsed(_ context.Context, cluster, id string, envelope []byte) error {
	return d.note("%s rehearsed %s %s", cluster, id, envelope)
}

func (d *desk) Facts(_ context.Context, cluster, id string, facts []byte, problem string) error {
	return d.note("%s facts %s %s%s", cluster, id, facts, problem)
}

func (d *desk) Signal(_ context.Context, cluster string, report *writv1.SignalReport) error {
	return d.note("%s signal %s", cluster, report.GetId())
}

func (d *desk) Connected(cluster string, _ *writv1.Hello, _ time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.presence[cluster]++
}

func (d *desk) Refused(cluster, why string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refused = append(d.refused, cluster+": "+why)
}

func (d *desk) Leased(cluster string, leases *writv1.Leases) {
	_ = d.note("%s has %d leases %v", cluster, len(leases.GetLive()), leases.GetFreezes())
}

func (d *desk) Disconnected(cluster string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.presence[cluster] = 0
}

func (d *desk) words() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string{}, d.heard...)
}

// world is a link on a real server with real TLS on loopback.
type world struct {
	*desk
	link    *Link
	ca      *identity.CA
	address string
}

func newWorld(t testing.TB, heartbeat time.Duration) *world {
	return newWorldIn(t, t.TempDir(), heartbeat)
}

// newWorldIn keeps the CA in a folder.
func newWorldIn(t testing.TB, dir string, heartbeat time.Duration) *world {
	ca, err := identity.LoadCA(dir, domain, time.Now())
	require.NoError(t, err)
	svid, authorities, err := identity.RenewHub(ca, time.Now)(t.Context())
	require.NoError(t, err)
	d := newDesk()
	l := New(Parts{Clusters: d, Renewer: d, Queue: d, Heads: d, Deliveries: d, Answers: d, Rehearsals: d, Signals: d, Presence: d,
		Operators: d.crew, Operations: d.crew, Heartbeat: heartbeat, Log: slog.New(slog.NewTextHandler(d.crew, nil)), Now: d.now})
	server := NewServer(l, identity.NewSource(svid, authorities), domain)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return &world{desk: d, link: l, ca: ca, address: listener.Addr().String()}
}

func (w *world) source(t testing.TB, cluster string) *identity.Source {
	id, err := identity.Cluster(domain, cluster)
	require.NoError(t, err)
	return w.sourceOf(t, id)
}

func (w *world) sourceOf(t testing.TB, id spiffeid.ID) *identity.Source {
	svid, err := w.ca.Make(t.Context(), "", id, time.Now(), identity.Life)
	require.NoError(t, err)
	return identity.NewSource(svid, w.ca.Authorities())
}

func (w *world) client(t testing.TB, cluster string, options ...grpc.DialOption) writv1.SpokesClient {
	conn, err := grpc.NewClient(w.address, append(options, grpc.WithTransportCredentials(identity.DialCredentials(w.source(t, cluster))))...)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return writv1.NewSpokesClient(conn)
}

func hello(cluster string, sequence uint64, digest string) *writv1.SpokeMessage {
	return &writv1.SpokeMessage{Body: &writv1.SpokeMessage_Hello{Hello: &writv1.Hello{ClusterUid: "uid-of-" + cluster,
		Head: &writv1.Head{Epoch: 3, Sequence: sequence, Digest: digest}, Version: &writv1.Version{Capability: capability.Current}}}}
}

// connect opens a stream, says hello and reads the first head.
func (w *world) connect(t testing.TB, client writv1.SpokesClient, cluster string) writv1.Spokes_ConnectClient {
	stream, err := client.Connect(t.Context())
	require.NoError(t, err)
	require.NoError(t, stream.Send(hello(cluster, 0, "")))
	message, err := stream.Recv()
	require.NoError(t, err)
	require.Equal(t, "head of "+cluster, string(message.GetHead()))
	return stream
}
