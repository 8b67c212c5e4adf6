package enrol

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/writ-dev/writ/api/capability"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/hub/store/badgerstore"
	"github.com/writ-dev/writ/internal/identity"
)

var domain = spiffeid.RequireTrustDomainFromString("writ.test")

// world is the service on a real server, with real TLS and a real store. Its clock is turned by hand.
type world struct {
	*Service
	client writv1.EnrolmentClient
	log    *bytes.Buffer

	mu       sync.Mutex
	now      time.Time
	recorded []Enrolment
	fault    error
}

func (w *world) RecordEnrolment(_ context.Context, e Enrolment) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault == nil {
		w.recorded = append(w.recorded, e)
	}
	return w.fault
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) turn(by time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(by)
}

func newWorld(t *testing.T) *world {
	w := &world{now: time.Now(), log: &bytes.Buffer{}}
	db, err := badgerstore.Open(t.TempDir(), slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	ca, err := identity.LoadCA(t.TempDir(), domain, w.now)
	require.NoError(t, err)
	w.Service = New(Parts{Store: db, CA: ca, TrustDomain: domain, Recorder: w, Log: slog.New(slog.NewTextHandler(w.log, nil)), Now: w.clock})
	svid, authorities, err := identity.RenewHub(ca, time.Now)(t.Context())
	require.NoError(t, err)
	server := NewServer(w.Service, identity.NewSource(svid, authorities))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(credentials.NewTLS(identity.EnrolClientTLS(authorities))))
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	w.client = writv1.NewEnrolmentClient(conn)
	return w
}

func (w *world) register(t *testing.T, name, token string) {
	digest := sha256.Sum256([]byte(token))
	require.NoError(t, w.Register(t.Context(), name, hex.EncodeToString(digest[:]), w.clock()))
}

// all is the whole content of the store, for tests that nothing was written.
func (w *world) all(t *testing.T) []store.Item {
	items, err := w.Store.Scan(t.Context(), "", "", 100)
	require.NoError(t, err)
	return items
}

type spoke struct {
	key     crypto.Signer
	receipt ed25519.PrivateKey
}

func newSpoke(t *testing.T) spoke {
	key, err := identity.GenerateKey()
	require.NoError(t, err)
	_, receipt, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	return spoke{key, receipt}
}

func (s spoke) request(t *testing.T, cluster, token string) *writv1.EnrolRequest {
	csr, err := identity.Request(s.key)
	require.NoError(t, err)
	receipt, err := x509.MarshalPKIXPublicKey(s.receipt.Public())
	require.NoError(t, err)
	return &writv1.EnrolRequest{Cluster: cluster, Token: token, Csr: csr, ClusterUid: "uid-of-" + cluster, ReceiptKey: receipt,
		Version: &writv1.Version{Capability: capability.Current, Release: "v0"}}
}

func leafOf(t *testing.T, chain [][]byte) *x509.Certificate {
	require.NotEmpty(t, chain)
	leaf, err := x509.ParseCertificate(chain[0])
	require.NoError(t, err)
	return leaf
}

func TestEnrolment(t *testing.T) {
	w := newWorld(t)
	w.register(t, "east", "secret")
	s := newSpoke(t)
	request := s.request(t, "east", "secret")
	response, err := w.client.Enrol(t.Context(), request)
	require.NoError(t, err)
	leaf := leafOf(t, response.GetChain())
	require.Equal(t, "spiffe://writ.test/cluster/east", leaf.URIs[0].String())
	require.Equal(t, uint64(1), response.GetHead().GetEpoch())
	require.Zero(t, response.GetHead().GetSequence())
	require.Len(t, w.recorded, 1)
	require.Equal(t, "uid-of-east", w.recorded[0].ClusterUID)
	require.Equal(t, request.ReceiptKey, w.recorded[0].ReceiptKey)

	c, ok, err := w.Authorise(t.Context(), leaf)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, "east", c.Name)
	for _, item := range w.all(t) {
		require.NotContains(t, string(item.Value), "secret")
	}
	require.NotContains(t, w.log.String(), "secret")

	// The answer was lost: the same spoke asks again, within the token's life.
	again, err := w.client.Enrol(t.Context(), request)
	require.NoError(t, err)
	require.Equal(t, leaf.URIs[0].String(), leafOf(t, again.GetChain()).URIs[0].String())
	require.Equal(t, uint64(1), again.GetHead().GetEpoch())
	require.Len(t, w.recorded, 1)
	w.turn(TokenLife + time.Second)
	_, err = w.client.Enrol(t.Context(), request)
	require.ErrorContains(t, err, "TokenExpired")
}

func TestRefusalsWriteNothing(t *testing.T) {
	w := newWorld(t)
	w.register(t, "used", "t-used")
	_, err := w.client.Enrol(t.Context(), newSpoke(t).request(t, "used", "t-used"))
	require.NoError(t, err)
	w.register(t, "old", "t-old")
	w.turn(TokenLife + time.Second)
	w.register(t, "east", "t-east")
	before := w.all(t)
	with := func(change func(*writv1.EnrolRequest)) *writv1.EnrolRequest {
		request := newSpoke(t).request(t, "east", "t-east")
		change(request)
		return request
	}
	var unknown, wrong error
	for name, c := range map[string]struct {
		request *writv1.EnrolRequest
		code    codes.Code
		says    string
		into    *error
	}{
		"wrong token":     {newSpoke(t).request(t, "east", "t-other"), codes.Unauthenticated, "TokenWrong", &wrong},
		"no token":        {newSpoke(t).request(t, "east", ""), codes.Unauthenticated, "TokenWrong", nil},
		"unknown cluster": {newSpoke(t).request(t, "west", "t-east"), codes.Unauthenticated, "TokenWrong", &unknown},
		"no name":         {newSpoke(t).request(t, "a/../b", "t-east"), codes.Unauthenticated, "TokenWrong", nil},
		"long name":       {newSpoke(t).request(t, string(bytes.Repeat([]byte("a"), 2000)), "t"), codes.Unauthenticated, "TokenWrong", nil},
		"used token":      {newSpoke(t).request(t, "used", "t-used"), codes.FailedPrecondition, "TokenUsed", nil},
		"expired token":   {newSpoke(t).request(t, "old", "t-old"), codes.FailedPrecondition, "TokenExpired", nil},
		"UID in use":      {with(func(r *writv1.EnrolRequest) { r.ClusterUid = "uid-of-used" }), codes.AlreadyExists, "ClusterUIDInUse", nil},
		"no UID":          {with(func(r *writv1.EnrolRequest) { r.ClusterUid = "" }), codes.InvalidArgument, "KeyUnacceptable", nil},
		"no CSR":          {with(func(r *writv1.EnrolRequest) { r.Csr = nil }), codes.InvalidArgument, "KeyUnacceptable", nil},
		"unsigned CSR":    {with(func(r *writv1.EnrolRequest) { r.Csr[len(r.Csr)-1] ^= 1 }), codes.InvalidArgument, "KeyUnacceptable", nil},
		"no receipt key":  {with(func(r *writv1.EnrolRequest) { r.ReceiptKey = []byte("x") }), codes.InvalidArgument, "KeyUnacceptable", nil},
		"too new":         {with(func(r *writv1.EnrolRequest) { r.Version.Capability = 9 }), codes.FailedPrecondition, "VersionSkew", nil},
	} {
		_, err := w.client.Enrol(t.Context(), c.request)
		require.Equal(t, c.code, status.Code(err), "%s: %v", name, err)
		require.ErrorContains(t, err, c.says, name)
		require.NotContains(t, status.Convert(err).Message(), "\n", name)
		if c.into != nil {
			*c.into = err
		}
	}
	require.Equal(t, unknown.Error(), wrong.Error(), "nobody learns which clusters exist")
	require.Contains(t, w.log.String(), "reason=ClusterUnknown")
	require.Equal(t, before, w.all(t))
	require.Len(t, w.recorded, 1)
	_, err = w.client.Enrol(t.Context(), newSpoke(t).request(t, "east", "t-east"))
	require.NoError(t, err, "a token is burnt by success alone")
}

// barrier lets the first commits through once all of them have arrived, so that each was decided on the same record.
type barrier struct {
	store.Store
	arrive sync.WaitGroup
	left   atomic.Int32
}

func (b *barrier) Commit(ctx context.Context, ops ...store.Op) error {
	if b.left.Add(-1) >= 0 {
		b.arrive.Done()
		b.arrive.Wait()
	}
	return b.Store.Commit(ctx, ops...)
}

func TestOfTwoSpokesAtOnceOneIsLetIn(t *testing.T) {
	w := newWorld(t)
	w.register(t, "east", "secret")
	results := make(chan error, 4)
	gate := &barrier{Store: w.Store}
	gate.arrive.Add(cap(results))
	gate.left.Store(int32(cap(results)))
	w.Store = gate
	for range cap(results) {
		request := newSpoke(t).request(t, "east", "secret")
		go func() {
			_, err := w.client.Enrol(context.Background(), request)
			results <- err
		}()
	}
	in := 0
	for range cap(results) {
		if err := <-results; err == nil {
			in++
		} else {
			require.ErrorContains(t, err, "TokenUsed")
		}
	}
	require.Equal(t, 1, in)
	require.Len(t, w.recorded, 1)
}

func TestAForgedNameInTheRequestIsIgnored(t *testing.T) {
	w := newWorld(t)
	w.register(t, "east", "secret")
	s := newSpoke(t)
	forged, err := url.Parse("spiffe://writ.test/cluster/west")
	require.NoError(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{forged}, DNSNames: []string{"hub.writ.test"}}, s.key)
	require.NoError(t, err)
	request := s.request(t, "east", "secret")
	request.Csr = csr
	response, err := w.client.Enrol(t.Context(), request)
	require.NoError(t, err)
	renewed, err := w.Renew(t.Context(), "east", &writv1.RenewRequest{Csr: csr, Version: request.Version})
	require.NoError(t, err)
	for _, chain := range [][][]byte{response.GetChain(), renewed.GetChain()} {
		leaf := leafOf(t, chain)
		require.Len(t, leaf.URIs, 1)
		require.Equal(t, "spiffe://writ.test/cluster/east", leaf.URIs[0].String())
		require.Empty(t, leaf.DNSNames)
		require.True(t, s.key.Public().(*ecdsa.PublicKey).Equal(leaf.PublicKey))
	}
}

func TestNobodyIsLetInBeforeItIsInTheAuditLog(t *testing.T) {
	w := newWorld(t)
	w.register(t, "east", "secret")
	request := newSpoke(t).request(t, "east", "secret")
	w.fault = errors.New("the disk is full")
	_, err := w.client.Enrol(t.Context(), request)
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.NotContains(t, err.Error(), "disk")
	_, live, err := w.Get(t.Context(), "east")
	require.NoError(t, err)
	require.False(t, live)
	w.mu.Lock()
	w.fault = nil
	w.mu.Unlock()
	_, err = w.client.Enrol(t.Context(), request)
	require.NoError(t, err)
	require.Len(t, w.recorded, 1)
}

func TestRegistration(t *testing.T) {
	w := newWorld(t)
	hash := func(token string) string { d := sha256.Sum256([]byte(token)); return hex.EncodeToString(d[:]) }
	for _, err := range []error{
		w.Register(t.Context(), "a.b", hash("x"), w.clock()),
		w.Register(t.Context(), "east", "abc", w.clock()),
		w.Register(t.Context(), "east", hash("x"), w.clock().Add(time.Hour)),
	} {
		require.ErrorIs(t, err, ErrRegistration)
	}
	require.Empty(t, w.all(t))
	w.register(t, "east", "first")
	w.register(t, "east", "second")
	_, err := w.client.Enrol(t.Context(), newSpoke(t).request(t, "east", "first"))
	require.ErrorContains(t, err, "TokenWrong")
	response, err := w.client.Enrol(t.Context(), newSpoke(t).request(t, "east", "second"))
	require.NoError(t, err)
	w.register(t, "east", "second") // the same again, as after a restart of the hub
	require.ErrorIs(t, w.Register(t.Context(), "east", hash("third"), w.clock()), ErrRegistration)
	leaf := leafOf(t, response.GetChain())

	require.NoError(t, w.Forget(t.Context(), "east"))
	require.NoError(t, w.Forget(t.Context(), "east"))
	_, ok, err := w.Authorise(t.Context(), leaf)
	require.NoError(t, err)
	require.False(t, ok)
	_, err = w.Renew(t.Context(), "east", &writv1.RenewRequest{})
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	w.register(t, "east", "fourth")
	response, err = w.client.Enrol(t.Context(), newSpoke(t).request(t, "east", "fourth"))
	require.NoError(t, err)
	require.Equal(t, uint64(2), response.GetHead().GetEpoch(), "a name never uses an epoch twice")
}

func TestReturn(t *testing.T) {
	w := newWorld(t)
	w.register(t, "east", "secret")
	s := newSpoke(t)
	_, err := w.client.Enrol(t.Context(), s.request(t, "east", "secret"))
	require.NoError(t, err)
	w.turn(48 * time.Hour)
	next := newSpoke(t)
	csr, err := identity.Request(next.key)
	require.NoError(t, err)
	returning := func(by spoke, cluster string, at time.Time) *writv1.ReturnRequest {
		return &writv1.ReturnRequest{Cluster: cluster, Csr: csr, At: timestamppb.New(at), Version: &writv1.Version{Capability: capability.Current},
			Signature: ed25519.Sign(by.receipt, identity.ReturnProof(cluster, at, csr))}
	}
	good := returning(s, "east", w.clock())
	response, err := w.client.Return(t.Context(), good)
	require.NoError(t, err)
	require.Equal(t, "spiffe://writ.test/cluster/east", leafOf(t, response.GetChain()).URIs[0].String())

	otherKey := proto.Clone(good).(*writv1.ReturnRequest)
	otherKey.Csr, err = identity.Request(newSpoke(t).key)
	require.NoError(t, err)
	for name, request := range map[string]*writv1.ReturnRequest{
		"another receipt key": returning(next, "east", w.clock()),
		"unknown cluster":     returning(s, "west", w.clock()),
		"old":                 returning(s, "east", w.clock().Add(-time.Hour)),
		"another CSR":         otherKey,
		"empty":               {},
	} {
		_, err := w.client.Return(t.Context(), request)
		require.ErrorContains(t, err, "ProofWrong", name)
	}
	require.NoError(t, w.Forget(t.Context(), "east"))
	_, err = w.client.Return(t.Context(), returning(s, "east", w.clock()))
	require.ErrorContains(t, err, "ProofWrong")
}

func TestAttemptsAreLimited(t *testing.T) {
	w := newWorld(t)
	w.register(t, "east", "secret")
	for range burst {
		_, err := w.client.Enrol(t.Context(), &writv1.EnrolRequest{Cluster: "east"})
		require.Equal(t, codes.Unauthenticated, status.Code(err))
	}
	request := newSpoke(t).request(t, "east", "secret")
	_, err := w.client.Enrol(t.Context(), request)
	require.Equal(t, codes.ResourceExhausted, status.Code(err))
	w.turn(2 * time.Second)
	_, err = w.client.Enrol(t.Context(), request)
	require.NoError(t, err)
}

// A cluster registered a moment ago may come before the hub has taken the registration in: the hub looks before it says no.
func TestARegistrationNotYetTakenInIsLookedFor(t *testing.T) {
	w := newWorld(t)
	asked := 0
	w.Refresh = func(context.Context, string) error {
		asked++
		w.register(t, "east", "secret")
		return nil
	}
	_, err := w.client.Enrol(t.Context(), newSpoke(t).request(t, "east", "secret"))
	require.NoError(t, err)
	_, err = w.client.Enrol(t.Context(), newSpoke(t).request(t, "west", "guessed"))
	require.Equal(t, codes.Unauthenticated, status.Code(err))
	require.Equal(t, 2, asked)
}
