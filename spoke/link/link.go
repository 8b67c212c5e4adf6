// Package link is the spoke's end of its one connection to the hub: it dials out, takes bundles, heads and inspections down,
// and brings facts, signals, receipts and outcomes up.
//
// It promises to come back for as long as it runs, to hand on bundles in the order in which they came, and to say again
// what the hub has not acknowledged. It believes nothing that the hub sends: judging is for whoever it hands it to.
package link

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"

	writv1 "github.com/writ-dev/writ/api/writv1"
)

// Journal is what survives of what the spoke did.
type Journal interface {
	// Head is the last sequence in the journal.
	Head(ctx context.Context) (epoch, sequence uint64, digest string, err error)
	// Undelivered calls visit for every receipt and outcome that the hub has not acknowledged, oldest first, with what goes with it.
	Undelivered(ctx context.Context, visit func(kind writv1.Acknowledge_Kind, bundleID string, envelope, artefact []byte)) error
	// Delivered notes that the hub has persisted one of them.
	Delivered(ctx context.Context, kind writv1.Acknowledge_Kind, bundleID string) error
}

// Handler does what the hub sends. Its methods are called from different goroutines.
type Handler interface {
	// Bundle takes in one envelope, one at a time and in order, and returns once it is in the journal or rejected; the
	// action itself happens elsewhere. An error is a fault: the link connects anew and is sent the bundle again.
	Bundle(ctx context.Context, envelope []byte) error
	// Head takes in the signed head of a heartbeat. An error is logged; the link goes on.
	Head(ctx context.Context, envelope []byte) error
	// EpochReset takes in a statement of the root keys; the stream ends after it. An error is logged.
	EpochReset(ctx context.Context, statement []byte) error
	// TrustRoots takes in what follows the trust root, and Authorities what to trust for the hub from now on: when they return nil
	// it is on disk. An error is logged, and said to the hub.
	TrustRoots(ctx context.Context, chain [][]byte) error
	Authorities(ctx context.Context, pem []byte) error
	// Renewal hears that the hub wants the SVID renewed now. It must not block.
	Renewal()
	// Trusting is what the spoke trusts, on its disk.
	Trusting() *writv1.Trusting
	// Inspect looks at a target; a few at once. Nil gives no answer.
	Inspect(ctx context.Context, inspect *writv1.Inspect) *writv1.Facts
	// Rehearse tries out what the hub has signed; a few at once. Nil gives no answer.
	Rehearse(ctx context.Context, envelope []byte) *writv1.Attestation
}

// Parts are what a link is made of.
type Parts struct {
	Address     string                           // host:port of the hub
	Credentials credentials.TransportCredentials // identity.DialCredentials
	Cluster     string                           // for the log
	ClusterUID  string
	Version     *writv1.Version
	// Facts says what the cluster is as a whole, for people; nil says nothing. It is asked before each Hello, and must not take long.
	Facts func(context.Context) *writv1.ClusterFacts
	// Leases says which credentials may be live, for people; it is asked after each Leased. Nil says nothing.
	Leases  func() (*writv1.Leases, error)
	Journal Journal
	Handler Handler
	Resend  time.Duration // until what was not acknowledged is said again; 30 s where zero
	Log     *slog.Logger
}

const (
	outboxSize = 256  // short notices that wait for a connection
	maxSignals = 1024 // signals that wait for an acknowledgement
	maxMessage = 512 << 10
	buffer     = 8 << 10
	firstDelay = 100 * time.Millisecond
	mostDelay  = 30 * time.Second
)

// Link is safe for concurrent use. Make it with New, start it with Run.
type Link struct {
	Parts
	outbox  chan *writv1.SpokeMessage
	wake    chan struct{} // there may be something outstanding
	leased  chan struct{} // Leases may say something else
	mu      sync.Mutex    // guards signals
	signals []*writv1.SignalReport
	heardAt atomic.Int64 // Unix, in nanoseconds; 0 before the hub was ever heard
}

// New makes a link. It does nothing until Run.
func New(parts Parts) *Link {
	if parts.Resend == 0 {
		parts.Resend = 30 * time.Second
	}
	return &Link{Parts: parts, outbox: make(chan *writv1.SpokeMessage, outboxSize), wake: make(chan struct{}, 1), leased: make(chan struct{}, 1)}
}

// dial makes a connection of its own for a stream. A connection proves for all of its life the SVID that it was opened with: a
// stream that ended because that one expired would end again on the same connection.
func (l *Link) dial() (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient(l.Address,
		grpc.WithTransportCredentials(l.Credentials),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: 10 * time.Second, Backoff: backoff.Config{
			BaseDelay: firstDelay, Multiplier: 1.6, Jitter: 0.2, MaxDelay: mostDelay / 3}}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
		grpc.WithReadBufferSize(buffer), grpc.WithWriteBufferSize(buffer), grpc.WithIdleTimeout(0))
	if err != nil {
		return nil, fmt.Errorf("hub address %q: %w", l.Address, err)
	}
	return conn, nil
}

// meet attends on a connection of its own, until that ends.
func (l *Link) meet(ctx context.Context) (greeted bool, err error) {
	conn, err := l.dial()
	if err != nil {
		return false, err
	}
	defer conn.Close()
	return l.attend(ctx, writv1.NewSpokesClient(conn))
}

// Run keeps one stream to the hub until the context ends, connecting anew with growing, jittered delays.
func (l *Link) Run(ctx context.Context) error {
	unused, err := l.dial() // an address that cannot be used will not get better
	if err != nil {
		return err
	}
	_ = unused.Close()
	for failures := 0; ctx.Err() == nil; {
		greeted, err := l.meet(ctx)
		if ctx.Err() != nil {
			break
		}
		if greeted {
			failures = 0
		}
		delay := jittered(failures)
		failures++
		l.Log.WarnContext(ctx, "lost the hub, will connect again", "cluster", l.Cluster, "in", delay, "error", err)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
		}
	}
	return nil //nolint:nilerr // the context ended: what the last stream ended with is no failure
}

// Heard is when the hub last said anything, a heartbeat at least; the zero time before it ever did.
func (l *Link) Heard() time.Time {
	if at := l.heardAt.Load(); at != 0 {
		return time.Unix(0, at)
	}
	return time.Time{}
}

// Leased has the hub told what Leases says, if that is something else. It does not block.
func (l *Link) Leased() {
	select {
	case l.leased <- struct{}{}:
	default:
	}
}

// Waiting is how many signals the hub has not acknowledged.
func (l *Link) Waiting() int { return len(l.waiting()) }

// jittered doubles with every failure, up to a limit; half of it is chance, so that a fleet does not return at one instant.
func jittered(failures int) time.Duration {
	delay := min(mostDelay, firstDelay<<min(failures, 16))
	return delay/2 + rand.N(delay/2)
}
