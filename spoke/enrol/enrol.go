// Package enrol gives a spoke its identity: it trades the join file's token for an SVID, keeps what it got on disk, and
// renews it.
//
// It promises that it may be killed at any point and run again: the keys are on disk before the hub hears of them, and the
// hub gives the same spoke the same identity again while the token lives. It never sends a private key anywhere, and it
// never takes an identity other than the one it asked for.
package enrol

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/writ-dev/writ/api/capability"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

// ErrRefused is wrapped by every error in which the hub said no; trying again unchanged is of no use.
var ErrRefused = errors.New("the hub refused")

// callTimeout bounds one call to the hub.
const callTimeout = 15 * time.Second

// Spoke is what an enrolment needs to know of where it runs.
type Spoke struct {
	Dir        string // where the state is kept, for this spoke alone
	ClusterUID string // UID of the namespace kube-system
	Release    string // of this program, for people
	// AccountToken returns a fresh token of this spoke's ServiceAccount for the audience writ-enrol: the second factor.
	AccountToken func() (string, error)
	// Patience is how long a hub that cannot be reached is tried; 0 is for ever. Whoever is told to wait waits.
	Patience time.Duration
	Log      *slog.Logger
	Now      func() time.Time
}

// Start returns the enrolment on disk, and where there is none enrols with the join file. While the hub is away it tries
// again, as long as its patience lasts. With an enrolment on disk, join may be nil; else it must be of the same cluster.
func (s Spoke) Start(ctx context.Context, join *Join) (*Enrolment, error) {
	e, err := s.load()
	switch {
	case err != nil:
		return nil, err
	case e != nil && join != nil && join.Cluster != e.Cluster:
		return nil, fmt.Errorf("%s holds the enrolment of cluster %s, the join file is for %s: give each spoke a folder of its own", s.Dir, e.Cluster, join.Cluster)
	case e != nil && e.ClusterUID != s.ClusterUID:
		return nil, fmt.Errorf("%s holds the enrolment of another cluster (kube-system %s, here it is %s): give each spoke a folder of its own", s.Dir, e.ClusterUID, s.ClusterUID)
	case e != nil:
		return e, nil
	case join == nil:
		return nil, fmt.Errorf("%s holds no enrolment: give the join file of `writ cluster register`", s.Dir)
	}
	return s.enrol(ctx, join)
}

func (s Spoke) enrol(ctx context.Context, join *Join) (*Enrolment, error) {
	key, err := identity.LoadKey(filepath.Join(s.Dir, firstKeyFile), identity.GenerateKey)
	if err != nil {
		return nil, err
	}
	receiptKey, err := s.receiptKey()
	if err != nil {
		return nil, err
	}
	csr, err := identity.Request(key)
	if err != nil {
		return nil, err
	}
	receiptPublic, err := x509.MarshalPKIXPublicKey(receiptKey.Public())
	if err != nil {
		return nil, fmt.Errorf("encode the receipt key: %w", err)
	}
	conn, err := dial(join.Hub.Enrol, join.authorities)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	request := &writv1.EnrolRequest{Cluster: join.Cluster, Token: join.Token, Csr: csr, ClusterUid: s.ClusterUID,
		ReceiptKey: receiptPublic, Version: s.version()}
	s.Log.InfoContext(ctx, "enrols", "cluster", join.Cluster, "hub", join.Hub.Enrol, "receiptKey", digest(receiptPublic))
	response, err := s.ask(ctx, join, conn, func(ctx context.Context) (*writv1.EnrolResponse, error) {
		if request.AccountToken, err = s.AccountToken(); err != nil {
			return nil, err
		}
		return writv1.NewEnrolmentClient(conn).Enrol(ctx, request)
	})
	if err != nil {
		return nil, err
	}
	return s.accept(join, key, receiptKey, response)
}

// ask repeats a call while the hub cannot be reached, or has the spoke wait.
func (s Spoke) ask(ctx context.Context, join *Join, conn *grpc.ClientConn, call func(context.Context) (*writv1.EnrolResponse, error)) (*writv1.EnrolResponse, error) {
	cluster, reached := join.Cluster, time.Now()
	for delay := 200 * time.Millisecond; ; delay = min(2*delay, 10*time.Second) {
		callCtx, cancel := context.WithTimeout(ctx, callTimeout)
		response, err := call(callCtx)
		cancel()
		if err == nil {
			return response, nil
		}
		switch status.Code(err) {
		case codes.Unknown: // our own: nothing was asked
			return nil, fmt.Errorf("enrol cluster %s: %w", cluster, err)
		case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		default:
			return nil, fmt.Errorf("enrol cluster %s: %w: %s", cluster, ErrRefused, status.Convert(err).Message())
		}
		if conn.GetState() == connectivity.Ready {
			reached = time.Now()
		}
		if s.Patience > 0 && time.Since(reached) > s.Patience {
			return nil, fmt.Errorf("enrol cluster %s: the hub at %s was not reached in %s: %s: is that its advertise.enrol, may this pod go there (hub.cidrs), and is the join file this hub's?",
				cluster, join.Hub.Enrol, s.Patience, status.Convert(err).Message())
		}
		if ctx.Err() == nil {
			s.Log.WarnContext(ctx, "cannot enrol yet, will try again", "cluster", cluster, "in", delay, "error", status.Convert(err).Message())
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil, fmt.Errorf("enrol cluster %s: %w; the last answer: %s", cluster, ctx.Err(), status.Convert(err).Message())
		}
	}
}

// accept checks what the hub gave and puts it on disk.
func (s Spoke) accept(join *Join, key crypto.Signer, receiptKey ed25519.PrivateKey, response *writv1.EnrolResponse) (*Enrolment, error) {
	svid, authorities, err := receive(key, response.GetChain(), response.GetAuthorities())
	if err != nil {
		return nil, err
	}
	td := join.authorities.TrustDomain()
	want, err := identity.Cluster(td, join.Cluster)
	if err != nil {
		return nil, err
	}
	if svid.ID != want || authorities.TrustDomain() != td {
		return nil, fmt.Errorf("the hub answered with the identity %s instead of %s", svid.ID, want)
	}
	e := &Enrolment{
		Facts: Facts{Cluster: join.Cluster, ClusterUID: s.ClusterUID, TrustDomain: td.Name(), Hub: join.Hub,
			Epoch: response.GetHead().GetEpoch(), TrustRoot: join.TrustRoot, EnrolledAt: s.Now().UTC(),
			JoinedWith: join.TokenDigest()},
		Source: identity.NewSource(svid, authorities), ReceiptKey: receiptKey, spoke: s, hurry: make(chan struct{}, 1),
	}
	return e, e.save()
}

// receive makes an SVID of what the hub sent for a key.
func receive(key crypto.Signer, chain [][]byte, authorities []byte) (*identity.SVID, *identity.Authorities, error) {
	svid, err := identity.NewSVID(chain, key)
	if err != nil {
		return nil, nil, fmt.Errorf("the hub's answer: %w", err)
	}
	trusted, err := identity.ParseAuthorities(authorities)
	if err != nil {
		return nil, nil, fmt.Errorf("the hub's answer: %w", err)
	}
	return svid, trusted, nil
}

func (s Spoke) receiptKey() (ed25519.PrivateKey, error) {
	path := filepath.Join(s.Dir, receiptKeyFile)
	key, err := identity.LoadKey(path, func() (crypto.Signer, error) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	})
	if err != nil {
		return nil, err
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no Ed25519 key", path)
	}
	return private, nil
}

// digest is what people tell a key by, on both sides.
func digest(public []byte) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:])
}

func (s Spoke) version() *writv1.Version {
	return &writv1.Version{Capability: capability.Current, Release: s.Release}
}

// dial connects to the port where no client certificate is asked for. The host is looked up as each connection is made: where it has addresses of
// both families and this pod has a way to one, what is said to be wrong is what is wrong there.
func dial(address string, authorities *identity.Authorities) (*grpc.ClientConn, error) {
	conn, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(credentials.NewTLS(identity.EnrolClientTLS(authorities))))
	if err != nil {
		return nil, fmt.Errorf("hub address %q: %w", address, err)
	}
	return conn, nil
}
