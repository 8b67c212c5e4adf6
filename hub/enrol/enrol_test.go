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
	"crypto/x509/pkix"
	"encoding/asn1"
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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/capability"
	"github.com/writ-dev/writ/api/v1alpha1"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/hub/enrol/enroltest"
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
	revoked  []string
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

func (w *world) RecordReset(_ context.Context, cluster string, epoch uint64, _ []byte, at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault == nil {
		w.recorded = append(w.recorded, Enrolment{Cluster: cluster, Epoch: epoch, At: at})
	}
	return w.fault
}

func (w *world) RecordRevocation(_ context.Context, cluster, reason string, at time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.fault == nil {
		w.revoked = append(w.revoked, cluster+": "+reason)
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

func stampOf(at time.Time) metav1.Time { return metav1.NewTime(at) }

func hash(token string) string { d := sha256.Sum256([]byte(token)); return hex.EncodeToString(d[:]) }

func (w *world) register(t *testing.T, name, token string) {
	require.NoError(t, w.Register(t.Context(), name, spec(t, name, token, w.clock())))
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
	return &writv1.EnrolRequest{Cluster: cluster, Token: token, Csr: csr, ClusterUid: "uid-of-" + cluster, ReceiptKey: receipt, AccountToken: workload().Token(enroltest.Claims()),
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
	again := spec(t, "used", "t-twin", w.clock()) // the cluster that has joined, under another name
	require.NoError(t, w.Register(t.Context(), "twin", again))
	twin := newSpoke(t).request(t, "twin", "t-twin")
	twin.ClusterUid = "uid-of-used"
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
		"UID in use":      {twin, codes.AlreadyExists, "ClusterUIDInUse", nil},
		"another UID":     {with(func(r *writv1.EnrolRequest) { r.ClusterUid = "uid-of-used" }), codes.PermissionDenied, "ClusterUIDMismatch", nil},
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
	hub, err := url.Parse("spiffe://writ.test/hub")
	require.NoError(t, err)
	isCA := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 19}, Critical: true, Value: []byte{0x30, 0x03, 0x01, 0x01, 0xff}} // basicConstraints: CA
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "west", SerialNumber: "7"},
		URIs: []*url.URL{forged, hub}, DNSNames: []string{"hub.writ.test"}, ExtraExtensions: []pkix.Extension{isCA}}, s.key)
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
		require.False(t, leaf.IsCA)
		require.Equal(t, "east", leaf.Subject.CommonName)
		require.Equal(t, "1", identity.EnrolmentOf(leaf))
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
	for _, err := range []error{
		w.Register(t.Context(), "a.b", spec(t, "east", "x", w.clock())),
		w.Register(t.Context(), "east", v1alpha1.ClusterSpec{Join: v1alpha1.JoinToken{SHA256: "abc", IssuedAt: stampOf(w.clock())}}),
		w.Register(t.Context(), "east", spec(t, "east", "x", w.clock().Add(time.Hour))),
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
	require.ErrorIs(t, w.Register(t.Context(), "east", spec(t, "east", "third", w.clock())), ErrRegistration)
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
	_, ok, err = w.Authorise(t.Context(), leaf)
	require.NoError(t, err)
	require.False(t, ok, "the SVID of before has the same ID, and is not over yet")
	_, ok, err = w.Authorise(t.Context(), leafOf(t, response.GetChain()))
	require.NoError(t, err)
	require.True(t, ok)
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

// A reset raises the epochs of those it names, is on the audit log before it counts, and can be said again.
func TestEpochReset(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"east", "west"} {
		w.register(t, name, "t-"+name)
		_, err := w.client.Enrol(t.Context(), newSpoke(t).request(t, name, "t-"+name))
		require.NoError(t, err)
	}
	w.register(t, "south", "t-south") // has not joined
	before := w.all(t)
	reset := bundle.EpochReset{TrustDomain: domain.Name(), Cluster: "east", Epoch: 4}
	foreign := reset
	foreign.TrustDomain = "other.test"
	unknown := reset
	unknown.Cluster = "south"
	for _, r := range []bundle.EpochReset{foreign, unknown} {
		_, err := w.ResetEpoch(t.Context(), r, []byte(`{}`))
		require.Error(t, err)
	}
	w.fault = errors.New("the disk is full")
	_, err := w.ResetEpoch(t.Context(), reset, []byte(`{}`))
	require.ErrorContains(t, err, "audit log")
	require.Equal(t, before, w.all(t))
	w.fault = nil

	names, err := w.ResetEpoch(t.Context(), reset, []byte(`{"of":"east"}`))
	require.NoError(t, err)
	require.Equal(t, []string{"east"}, names)
	reset.Cluster, reset.Epoch = bundle.EveryCluster, 3
	names, err = w.ResetEpoch(t.Context(), reset, []byte(`{"of":"all"}`))
	require.NoError(t, err)
	require.Equal(t, []string{"west"}, names, "who is further stays")
	names, err = w.ResetEpoch(t.Context(), reset, []byte(`{"of":"all"}`))
	require.NoError(t, err)
	require.Empty(t, names)
	for name, epoch := range map[string]uint64{"east": 4, "west": 3} {
		c, ok, err := w.Get(t.Context(), name)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, epoch, c.Epoch)
		require.NotNil(t, c.Reset)
	}
	require.Len(t, w.recorded, 4)
}

// A revoked identity opens nothing any more, whatever is shown for it, also while the audit log cannot be written.
func TestRevoke(t *testing.T) {
	w := newWorld(t)
	var ended []string
	w.Ended = func(cluster string) { ended = append(ended, cluster) }
	w.register(t, "east", "secret")
	s := newSpoke(t)
	request := s.request(t, "east", "secret")
	response, err := w.client.Enrol(t.Context(), request)
	require.NoError(t, err)
	leaf := leafOf(t, response.GetChain())
	refused := func() {
		t.Helper()
		_, ok, err := w.Authorise(t.Context(), leaf)
		require.NoError(t, err)
		require.False(t, ok)
		_, err = w.Renew(t.Context(), "east", &writv1.RenewRequest{Csr: request.GetCsr(), Version: request.GetVersion()})
		require.Equal(t, codes.Unauthenticated, status.Code(err))
		at := w.clock()
		_, err = w.client.Return(t.Context(), &writv1.ReturnRequest{Cluster: "east", Csr: request.GetCsr(), At: timestamppb.New(at), Version: request.GetVersion(),
			Signature: ed25519.Sign(s.receipt, identity.ReturnProof("east", at, request.GetCsr()))})
		require.ErrorContains(t, err, "ProofWrong")
		_, err = w.client.Enrol(t.Context(), request)
		require.ErrorContains(t, err, "ClusterRevoked")
		live, err := w.List(t.Context())
		require.NoError(t, err)
		require.Empty(t, live)
	}

	w.fault = errors.New("the disk is full")
	require.ErrorContains(t, w.Revoke(t.Context(), "east", "stolen"), "not on the audit log yet")
	require.Equal(t, []string{"east"}, ended)
	refused()
	w.fault = nil
	require.NoError(t, w.Revoke(t.Context(), "east", "another reason"))
	require.NoError(t, w.Revoke(t.Context(), "east", "stolen"))
	require.Equal(t, []string{"east: stolen"}, w.revoked, "once, as it was said first")
	refused()
	w.register(t, "east", "secret") // what the object says has not changed
	require.ErrorIs(t, w.Register(t.Context(), "east", spec(t, "east", "another", w.clock())), ErrRegistration)
	refused()

	require.NoError(t, w.Forget(t.Context(), "east"))
	w.register(t, "east", "another")
	w.turn(time.Minute)
	_, err = w.client.Enrol(t.Context(), request)
	require.ErrorContains(t, err, "TokenWrong", "the spoke of before")
	_, ok, err := w.Authorise(t.Context(), leaf)
	require.NoError(t, err)
	require.False(t, ok)
	_, err = w.client.Enrol(t.Context(), newSpoke(t).request(t, "east", "another"))
	require.NoError(t, err, "its UID is free as well")
}

// Deleting a cluster ends its identity as revoking does, and is on the audit log.
func TestForgettingRevokes(t *testing.T) {
	w := newWorld(t)
	w.register(t, "pending", "p")
	w.register(t, "east", "secret")
	_, err := w.client.Enrol(t.Context(), newSpoke(t).request(t, "east", "secret"))
	require.NoError(t, err)
	known, err := w.Known(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"east", "pending"}, known)
	for _, name := range []string{"east", "east", "pending", "nobody"} {
		require.NoError(t, w.Forget(t.Context(), name))
	}
	require.Equal(t, []string{"east: the cluster was deleted"}, w.revoked)
	known, err = w.Known(t.Context())
	require.NoError(t, err)
	require.Empty(t, known)
}
