package enrol

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

var domain = spiffeid.RequireTrustDomainFromString("writ.test")

// hub serves both ports with real TLS. It lets in whoever comes first with the token, and whoever comes again with its keys.
type hub struct {
	writv1.UnimplementedEnrolmentServer
	writv1.UnimplementedSpokesServer
	ca             *identity.CA
	enrol, connect string

	mu       sync.Mutex
	key      crypto.PublicKey
	receipt  []byte
	life     time.Duration
	as       string // the cluster that it issues for
	away     int    // so many enrolments find the hub away
	lose     int    // so many answers are lost after the enrolment counted
	returned int
}

func newHub(t *testing.T) *hub {
	ca, err := identity.LoadCA(t.TempDir(), domain, time.Now())
	require.NoError(t, err)
	h := &hub{ca: ca, life: identity.Life, as: "east"}
	svid, authorities, err := identity.RenewHub(ca, time.Now)(t.Context())
	require.NoError(t, err)
	source := identity.NewSource(svid, authorities)
	listen := func(server *grpc.Server) string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		go server.Serve(listener)
		t.Cleanup(server.Stop)
		return listener.Addr().String()
	}
	enrol := grpc.NewServer(grpc.Creds(credentials.NewTLS(identity.EnrolServerTLS(source))))
	writv1.RegisterEnrolmentServer(enrol, h)
	connect := grpc.NewServer(grpc.Creds(credentials.NewTLS(identity.ServerTLS(source, identity.AcceptCallers(domain)))))
	writv1.RegisterSpokesServer(connect, h)
	h.enrol, h.connect = listen(enrol), listen(connect)
	return h
}

func (h *hub) Enrol(_ context.Context, r *writv1.EnrolRequest) (*writv1.EnrolResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.away > 0 {
		h.away--
		return nil, status.Error(codes.Unavailable, "away")
	}
	asked, err := identity.ReadRequest(r.GetCsr())
	if err != nil {
		return nil, err
	}
	if r.GetAccountToken() != "account" {
		return nil, status.Error(codes.Unauthenticated, "AccountTokenWrong: none")
	}
	if r.GetToken() != "secret" {
		return nil, status.Error(codes.Unauthenticated, "TokenWrong: look at the join file")
	}
	if h.key != nil && (!h.key.(interface{ Equal(crypto.PublicKey) bool }).Equal(asked.Key) || !bytes.Equal(h.receipt, r.GetReceiptKey())) {
		return nil, status.Error(codes.FailedPrecondition, "TokenUsed: by other keys")
	}
	h.key, h.receipt = asked.Key, r.GetReceiptKey()
	if h.lose > 0 {
		h.lose--
		return nil, status.Error(codes.Unavailable, "the connection broke")
	}
	issued, err := h.issue(r.GetCsr())
	if err != nil {
		return nil, err
	}
	return &writv1.EnrolResponse{Chain: issued.Chain, Authorities: issued.Authorities, Head: &writv1.Head{Epoch: 1}}, nil
}

func (h *hub) Renew(_ context.Context, r *writv1.RenewRequest) (*writv1.RenewResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.issue(r.GetCsr())
}

func (h *hub) Return(_ context.Context, r *writv1.ReturnRequest) (*writv1.RenewResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.returned++
	return h.issue(r.GetCsr())
}

func (h *hub) issue(csr []byte) (*writv1.RenewResponse, error) {
	asked, err := identity.ReadRequest(csr)
	if err != nil {
		return nil, err
	}
	id, err := identity.Cluster(domain, h.as)
	if err != nil {
		return nil, err
	}
	chain, err := h.ca.Issue(context.Background(), "", asked, id, time.Now(), h.life)
	return &writv1.RenewResponse{Chain: chain, Authorities: h.ca.Authorities().PEM()}, err
}

func (h *hub) join(t *testing.T, token string) *Join {
	raw, err := Join{Cluster: "east", Hub: Hub{Enrol: h.enrol, Connect: h.connect}, Authorities: string(h.ca.Authorities().PEM()),
		TrustRoot: `{"signed":{}}`, Token: token}.YAML()
	require.NoError(t, err)
	join, err := ParseJoin(raw)
	require.NoError(t, err)
	return join
}

func newSpoke(dir string) Spoke {
	return Spoke{Dir: dir, ClusterUID: "uid", Release: "v0", AccountToken: func() (string, error) { return "account", nil }, Log: slog.New(slog.DiscardHandler), Now: time.Now}
}

func TestEnrolAndLoad(t *testing.T) {
	h, dir := newHub(t), t.TempDir()
	h.away = 1
	e, err := newSpoke(dir).Start(t.Context(), h.join(t, "secret"))
	require.NoError(t, err)
	require.Equal(t, "spiffe://writ.test/cluster/east", e.Source.SVID().ID.String())
	require.Equal(t, uint64(1), e.Epoch)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, 4)
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), f.Name())
		raw, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		require.NotContains(t, string(raw), "secret")
	}
	again, err := newSpoke(dir).Start(t.Context(), nil)
	require.NoError(t, err)
	require.Equal(t, e.Facts, again.Facts)
	require.True(t, e.ReceiptKey.Equal(again.ReceiptKey))
	require.Equal(t, ed25519.PublicKeySize, len(again.ReceiptPublic()))

	other := newSpoke(dir)
	other.ClusterUID = "another"
	_, err = other.Start(t.Context(), nil)
	require.ErrorContains(t, err, "another cluster")
	_, err = newSpoke(t.TempDir()).Start(t.Context(), nil)
	require.ErrorContains(t, err, "writ cluster register")
}

func TestRefusalsEndTheEnrolmentAndLeaveNoIdentity(t *testing.T) {
	h, dir := newHub(t), t.TempDir()
	_, err := newSpoke(dir).Start(t.Context(), h.join(t, "wrong"))
	require.ErrorIs(t, err, ErrRefused)
	require.EqualError(t, err, "enrol cluster east: the hub refused: TokenWrong: look at the join file")
	h.as = "west"
	_, err = newSpoke(dir).Start(t.Context(), h.join(t, "secret"))
	require.ErrorContains(t, err, "instead of")
	require.NoFileExists(t, filepath.Join(dir, enrolmentFile))

	without := newSpoke(t.TempDir())
	without.AccountToken = func() (string, error) { return "", errors.New("no such file") }
	_, err = without.Start(t.Context(), h.join(t, "secret"))
	require.EqualError(t, err, "enrol cluster east: no such file")
	require.NotErrorIs(t, err, ErrRefused)

	// A hub of other authorities is not spoken to at all.
	join := newHub(t).join(t, "secret")
	join.Hub = Hub{Enrol: h.enrol, Connect: h.connect}
	impatient := newSpoke(t.TempDir())
	impatient.Patience = 300 * time.Millisecond
	_, err = impatient.Start(t.Context(), join)
	require.ErrorContains(t, err, "the hub at "+h.enrol+" was not reached in 300ms: ")
	require.ErrorContains(t, err, "certificate")
	require.ErrorContains(t, err, "is the join file this hub's?")

	// Nor one that is not there.
	join.Hub.Enrol = "127.0.0.1:1"
	_, err = impatient.Start(t.Context(), join)
	require.ErrorContains(t, err, "connection refused")
	require.ErrorContains(t, err, "advertise.enrol")
}

// A spoke is killed after each file that it writes, and once with the answer lost: run again, it gets its identity.
func TestItMayBeKilledAnywhere(t *testing.T) {
	h, dir := newHub(t), t.TempDir()
	whole := func() *Enrolment {
		e, err := newSpoke(dir).Start(t.Context(), h.join(t, "secret"))
		require.NoError(t, err)
		require.Equal(t, "east", e.Cluster)
		return e
	}
	h.lose = 1
	e := whole()
	first, err := os.ReadFile(filepath.Join(dir, svidFile))
	require.NoError(t, err)
	key, _, _ := strings.Cut(string(first), "-----BEGIN CERTIFICATE")
	lost := []string{enrolmentFile, svidFile, authoritiesFile}
	for n := 1; n <= len(lost); n++ {
		for _, name := range lost[:n] {
			require.NoError(t, os.Remove(filepath.Join(dir, name)))
		}
		require.NoError(t, identity.WriteFile(filepath.Join(dir, firstKeyFile), []byte(key)))
		require.True(t, e.ReceiptKey.Equal(whole().ReceiptKey))
		require.NoFileExists(t, filepath.Join(dir, firstKeyFile))
	}
}

func TestRenewal(t *testing.T) {
	h, dir := newHub(t), t.TempDir()
	e, err := newSpoke(dir).Start(t.Context(), h.join(t, "secret"))
	require.NoError(t, err)
	before := e.Source.SVID()
	next, authorities, err := e.Renew(t.Context())
	require.NoError(t, err)
	require.Equal(t, before.ID, next.ID)
	require.NotEqual(t, before.Leaf().PublicKey, next.Leaf().PublicKey, "each SVID has a key of its own")

	// The SVID ran out while the hub was away: Keep comes back with the receipt key, at once.
	h.mu.Lock()
	h.life = -time.Second
	h.mu.Unlock()
	expired, _, err := e.Renew(t.Context())
	require.NoError(t, err)
	require.NoError(t, e.store(expired, authorities))
	e, err = newSpoke(dir).Start(t.Context(), nil)
	require.NoError(t, err)
	h.mu.Lock()
	h.life = identity.Life
	h.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); e.Keep(ctx) }()
	require.Eventually(t, func() bool { return e.Source.SVID().Leaf().NotAfter.After(time.Now()) }, 20*time.Second, time.Millisecond)
	cancel()
	<-done
	require.Equal(t, 1, h.returned)
	stored, err := identity.LoadSVID(filepath.Join(dir, svidFile))
	require.NoError(t, err)
	require.True(t, stored.Leaf().Equal(e.Source.SVID().Leaf()))
}
