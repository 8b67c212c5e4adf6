package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

const patience = 20 * time.Second

var domain = spiffeid.RequireTrustDomainFromString("writ.test")

// hub is a hub on a real server with real TLS; what it does on a stream is steered from outside.
type hub struct {
	writv1.UnimplementedSpokesServer
	ca      *identity.CA
	address string
	server  *grpc.Server

	mu      sync.Mutex
	hellos  []*writv1.Hello
	peers   []string // whence each came
	heard   []string
	deaf    bool // does not acknowledge
	refuses error
	down    chan *writv1.HubMessage
}

func newHub(t *testing.T) *hub {
	ca, err := identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	h := &hub{ca: ca, address: "127.0.0.1:0", down: make(chan *writv1.HubMessage, 100)}
	h.start(t)
	t.Cleanup(func() { h.server.Stop() })
	return h
}

func (h *hub) start(t *testing.T) {
	svid, authorities, err := identity.RenewHub(h.ca, time.Now)(t.Context())
	require.NoError(t, err)
	config := identity.ServerTLS(identity.NewSource(svid, authorities), identity.AcceptCallers(domain))
	h.server = grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.WaitForHandlers(true)) // a stream that ended takes nothing of the next
	writv1.RegisterSpokesServer(h.server, h)
	listener, err := net.Listen("tcp", h.address)
	require.NoError(t, err)
	h.address = listener.Addr().String()
	go h.server.Serve(listener)
}

func (h *hub) Connect(stream writv1.Spokes_ConnectServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.hellos = append(h.hellos, first.GetHello())
	if p, ok := peer.FromContext(stream.Context()); ok {
		h.peers = append(h.peers, p.Addr.String())
	}
	refuses := h.refuses
	h.mu.Unlock()
	if refuses != nil {
		return refuses
	}
	if err := stream.Send(&writv1.HubMessage{Body: &writv1.HubMessage_Head{Head: []byte("head")}}); err != nil {
		return err
	}
	up := make(chan *writv1.SpokeMessage)
	go func() {
		defer close(up)
		for {
			m, err := stream.Recv()
			if err != nil {
				return
			}
			select {
			case up <- m:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	for {
		select {
		case m, ok := <-up:
			if !ok {
				return nil
			}
			if a := h.hear(m); a != nil {
				if err := stream.Send(&writv1.HubMessage{Body: &writv1.HubMessage_Acknowledge{Acknowledge: a}}); err != nil {
					return err
				}
			}
		case m := <-h.down:
			if err := stream.Send(m); err != nil {
				return err
			}
		}
	}
}

func (h *hub) hear(m *writv1.SpokeMessage) (a *writv1.Acknowledge) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch body := m.GetBody().(type) {
	case *writv1.SpokeMessage_Receipt:
		a = &writv1.Acknowledge{Kind: writv1.Acknowledge_KIND_RECEIPT, Id: body.Receipt.GetBundleId()}
	case *writv1.SpokeMessage_Outcome:
		a = &writv1.Acknowledge{Kind: writv1.Acknowledge_KIND_OUTCOME, Id: body.Outcome.GetBundleId()}
	case *writv1.SpokeMessage_Signal:
		a = &writv1.Acknowledge{Kind: writv1.Acknowledge_KIND_SIGNAL, Id: body.Signal.GetId()}
	case *writv1.SpokeMessage_Leases:
		h.heard = append(h.heard, fmt.Sprintf("leases %d %v", len(body.Leases.GetLive()), body.Leases.GetFreezes()))
	case *writv1.SpokeMessage_Trusting:
		h.heard = append(h.heard, fmt.Sprintf("trusting %d %s", body.Trusting.GetRootVersion(), body.Trusting.GetProblem()))
	case *writv1.SpokeMessage_Taken:
		h.heard = append(h.heard, "taken "+body.Taken.GetBundleId())
	case *writv1.SpokeMessage_Rejected:
		h.heard = append(h.heard, "rejected "+body.Rejected.GetReason())
	case *writv1.SpokeMessage_Facts:
		h.heard = append(h.heard, "facts "+body.Facts.GetInspectId())
	case *writv1.SpokeMessage_Rehearsed:
		h.heard = append(h.heard, "rehearsed "+body.Rehearsed.GetBundleId())
	}
	if a != nil {
		h.heard = append(h.heard, a.GetKind().String()+" "+a.GetId())
		if h.deaf {
			return nil
		}
	}
	return a
}

func (h *hub) count(word string) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.heard {
		if w == word {
			n++
		}
	}
	return n
}

// cluster is what the link serves: a journal in memory, and a handler.
type cluster struct {
	mu          sync.Mutex
	sequence    uint64
	undelivered []string // "receipt b1"
	got         []string
	fails       int // so many bundles fail
	link        *Link
	leases      int
}

func (c *cluster) EpochReset(context.Context, []byte) error { return nil }

func (c *cluster) Head(context.Context) (uint64, uint64, string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return 1, c.sequence, fmt.Sprintf("digest-%d", c.sequence), nil
}

var kinds = map[string]writv1.Acknowledge_Kind{"receipt": writv1.Acknowledge_KIND_RECEIPT, "outcome": writv1.Acknowledge_KIND_OUTCOME}

func (c *cluster) Undelivered(_ context.Context, visit func(writv1.Acknowledge_Kind, string, []byte, []byte)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, u := range c.undelivered {
		var kind, id string
		_, _ = fmt.Sscan(u, &kind, &id)
		visit(kinds[kind], id, []byte("envelope"), nil)
	}
	return nil
}

func (c *cluster) Delivered(_ context.Context, kind writv1.Acknowledge_Kind, id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.undelivered = slices.DeleteFunc(c.undelivered, func(u string) bool {
		return (u == "receipt "+id && kind == kinds["receipt"]) || (u == "outcome "+id && kind == kinds["outcome"])
	})
	return nil
}

type handler struct{ *cluster }

// trusts takes in what it is sent, unless it is bad.
func (h handler) trusts(what ...[]byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, one := range what {
		if string(one) == "bad" {
			return errors.New("not to be trusted")
		}
		h.got = append(h.got, string(one))
	}
	return nil
}

func (h handler) Bundle(_ context.Context, envelope []byte) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.fails > 0 {
		h.fails--
		return errors.New("the journal is full")
	}
	h.got = append(h.got, string(envelope))
	h.sequence++
	h.link.Taken(1, h.sequence, string(envelope))
	return nil
}

func (h handler) Head(context.Context, []byte) error { return nil }

func (h handler) TrustRoots(_ context.Context, chain [][]byte) error { return h.trusts(chain...) }

func (h handler) Authorities(_ context.Context, pem []byte) error { return h.trusts(pem) }

func (h handler) Renewal() { _ = h.trusts([]byte("renewal")) }

func (h handler) Trusting() *writv1.Trusting { return &writv1.Trusting{RootVersion: 7} }

func (h handler) Inspect(_ context.Context, inspect *writv1.Inspect) *writv1.Facts {
	return &writv1.Facts{InspectId: inspect.GetInspectId()}
}

func (h handler) Rehearse(_ context.Context, envelope []byte) *writv1.Attestation {
	return &writv1.Attestation{BundleId: string(envelope)}
}

func start(t *testing.T, h *hub, c *cluster, resend time.Duration) *Link {
	id, err := identity.Cluster(domain, "east")
	require.NoError(t, err)
	svid, err := h.ca.Make(t.Context(), "", id, time.Now(), identity.Life)
	require.NoError(t, err)
	l := New(Parts{Address: h.address, Credentials: identity.DialCredentials(identity.NewSource(svid, h.ca.Authorities())),
		Cluster: "east", ClusterUID: "uid", Version: &writv1.Version{Capability: 1}, Journal: c, Handler: handler{c}, Resend: resend, Leases: c.said,
		Log: slog.New(slog.DiscardHandler)})
	c.link = l
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = l.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return l
}

// said is how many credentials are said to be live.
func (c *cluster) said() (*writv1.Leases, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &writv1.Leases{Live: make([]*writv1.Lease, c.leases), Freezes: []string{"f"}}, nil
}

// Which credentials may be live is said on each connection, and when that has changed.
func TestLiveCredentialsAreSaid(t *testing.T) {
	h, c := newHub(t), &cluster{}
	l := start(t, h, c, time.Hour)
	require.Eventually(t, func() bool { return h.count("leases 0 [f]") == 1 }, patience, time.Millisecond)
	l.Leased()
	c.mu.Lock()
	c.leases = 2
	c.mu.Unlock()
	l.Leased()
	require.Eventually(t, func() bool { return h.count("leases 2 [f]") == 1 }, patience, time.Millisecond)
	l.Leased()
	h.server.Stop()
	h.start(t)
	require.Eventually(t, func() bool { return h.count("leases 2 [f]") == 2 }, patience, time.Millisecond)
	require.Equal(t, 1, h.count("leases 0 [f]"), "what has not changed is not said again")
}

func bundle(text string) *writv1.HubMessage {
	return &writv1.HubMessage{Body: &writv1.HubMessage_Bundle{Bundle: []byte(text)}}
}

func (c *cluster) has(want ...string) func() bool {
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return slices.Equal(c.got, want)
	}
}

func (c *cluster) delivered() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.undelivered) == 0
}

func TestDownAndUp(t *testing.T) {
	h, c := newHub(t), &cluster{undelivered: []string{"receipt b0"}}
	l := start(t, h, c, time.Hour)
	h.down <- bundle("b1")
	h.down <- &writv1.HubMessage{Body: &writv1.HubMessage_Inspect{Inspect: &writv1.Inspect{InspectId: "i1"}}}
	h.down <- &writv1.HubMessage{Body: &writv1.HubMessage_Rehearsal{Rehearsal: []byte("r1")}}
	h.down <- bundle("b2")
	require.Eventually(t, c.has("b1", "b2"), patience, time.Millisecond)
	c.mu.Lock()
	c.undelivered = append(c.undelivered, "receipt b1", "outcome b1")
	c.mu.Unlock()
	l.Attested()
	l.Rejected(3, "Malformed", "x")
	require.True(t, l.Signal(&writv1.SignalReport{Id: "s1"}))
	for _, word := range []string{"taken b1", "taken b2", "facts i1", "rehearsed r1", "rejected Malformed", "KIND_RECEIPT b0", "KIND_RECEIPT b1", "KIND_OUTCOME b1", "KIND_SIGNAL s1"} {
		require.Eventually(t, func() bool { return h.count(word) == 1 }, patience, time.Millisecond, word)
	}
	require.Eventually(t, func() bool { return c.delivered() && len(l.waiting()) == 0 }, patience, time.Millisecond)
	require.Equal(t, "uid", h.hellos[0].GetClusterUid())
}

// What to trust is handed on in order, before what comes after it, and the spoke says each time what it has.
func TestWhatToTrustGoesDownAndIsAnswered(t *testing.T) {
	h, c := newHub(t), &cluster{}
	start(t, h, c, time.Hour)
	for _, m := range []*writv1.HubMessage{{Body: &writv1.HubMessage_TrustRoots{TrustRoots: &writv1.TrustRoots{Roots: [][]byte{[]byte("r2"), []byte("r3")}}}},
		{Body: &writv1.HubMessage_Authorities{Authorities: []byte("ca")}}, {Body: &writv1.HubMessage_Renewal{Renewal: &writv1.Renewal{}}},
		{Body: &writv1.HubMessage_Authorities{Authorities: []byte("bad")}}} {
		h.down <- m
	}
	require.Eventually(t, func() bool { return h.count("trusting 7 ") == 2 && h.count("trusting 7 not to be trusted") == 1 }, patience, time.Millisecond)
	require.True(t, c.has("r2", "r3", "ca", "renewal")())
	require.EqualValues(t, 7, h.hellos[0].GetTrusting().GetRootVersion())
}

func TestTheHubRestarts(t *testing.T) {
	h, c := newHub(t), &cluster{}
	h.deaf = true
	l := start(t, h, c, time.Hour)
	h.down <- bundle("b1")
	require.Eventually(t, c.has("b1"), patience, time.Millisecond)
	c.mu.Lock()
	c.undelivered = []string{"receipt b1"}
	c.mu.Unlock()
	l.Attested()
	require.True(t, l.Signal(&writv1.SignalReport{Id: "s1"}))
	require.Eventually(t, func() bool { return h.count("KIND_RECEIPT b1") == 1 && h.count("KIND_SIGNAL s1") == 1 }, patience, time.Millisecond)
	h.server.Stop()
	h.mu.Lock()
	h.deaf = false
	h.mu.Unlock()
	h.start(t)
	h.down <- bundle("b2")
	require.Eventually(t, c.has("b1", "b2"), patience, time.Millisecond)
	require.Eventually(t, func() bool { return c.delivered() && len(l.waiting()) == 0 }, patience, time.Millisecond)
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Equal(t, uint64(1), h.hellos[len(h.hellos)-1].GetHead().GetSequence(), "the hello says what the journal holds")
}

func TestWhatIsNotAcknowledgedIsSaidAgain(t *testing.T) {
	h, c := newHub(t), &cluster{undelivered: []string{"receipt b1"}}
	h.deaf = true
	start(t, h, c, 20*time.Millisecond)
	require.Eventually(t, func() bool { return h.count("KIND_RECEIPT b1") >= 3 }, patience, time.Millisecond)
	require.False(t, c.delivered())
}

func TestABundleThatCouldNotBeTakenInIsAskedForAgain(t *testing.T) {
	h, c := newHub(t), &cluster{fails: 1}
	start(t, h, c, time.Hour)
	h.down <- bundle("b1")
	require.Eventually(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.hellos) == 2 }, patience, time.Millisecond)
	h.down <- bundle("b1")
	require.Eventually(t, c.has("b1"), patience, time.Millisecond)
}

func TestARefusedSpokeComesBack(t *testing.T) {
	h, c := newHub(t), &cluster{}
	h.refuses = status.Error(codes.FailedPrecondition, "SequenceAhead: x")
	start(t, h, c, time.Hour)
	require.Eventually(t, func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.hellos) >= 2 }, patience, time.Millisecond)
	h.mu.Lock()
	h.refuses = nil
	h.mu.Unlock()
	h.down <- bundle("b1")
	require.Eventually(t, c.has("b1"), patience, time.Millisecond)
}

// A connection proves the SVID that it was opened with: after a refusal, another one proves the newest.
func TestASpokeComesBackOnAnotherConnection(t *testing.T) {
	h, c := newHub(t), &cluster{}
	h.refuses = status.Error(codes.Unauthenticated, "the SVID of this connection has expired: renew it and connect again")
	start(t, h, c, time.Minute)
	var peers []string
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		peers = slices.Clone(h.peers)
		return len(peers) > 2
	}, patience, 10*time.Millisecond)
	slices.Sort(peers)
	require.Len(t, slices.Compact(slices.Clone(peers)), len(peers), "%v", peers)
}

func TestNothingThatIsSaidBlocks(t *testing.T) {
	l := New(Parts{Log: slog.New(slog.DiscardHandler)}) // never connected
	for i := range 2 * outboxSize {
		l.Taken(1, uint64(i), "b")
	}
	for i := range maxSignals {
		require.True(t, l.Signal(&writv1.SignalReport{Id: fmt.Sprint(i)}))
	}
	require.False(t, l.Signal(&writv1.SignalReport{Id: "one too many"}))
	l.acknowledged("7")
	require.True(t, l.Signal(&writv1.SignalReport{Id: "room again"}))
}
