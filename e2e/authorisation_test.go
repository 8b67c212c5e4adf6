package e2e

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/writ-dev/writ/api/capability"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/e2e/fleet/fleettest"
	"github.com/writ-dev/writ/hub/enrol/enroltest"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/spoke/enrol"
)

// caller is one column of the table: who calls, and what it has to show.
type caller struct {
	cluster string
	uid     string
	svid    *identity.SVID     // nil is no certificate
	receipt ed25519.PrivateKey // with which it asks to come back
	join    func() *writv1.EnrolRequest
}

// walk knows how a hub is called.
type walk struct {
	hub         enrol.Hub
	authorities *identity.Authorities
}

// Every cell of the table in docs/authorisation.md is a call of a running hub: allowed or refused as written.
func TestTheAuthorisationTableIsWhatTheHubDoes(t *testing.T) {
	t.Parallel()
	f := start(t, fleet.Options{Clusters: []string{"east", "west"}})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	columns, rows := methodsOf(t)
	w, callers := cast(ctx, t, f)
	for service := range declared {
		for method := range declared[service] {
			require.Contains(t, rows, service+"/"+method, "every method has a row")
		}
	}
	for method, row := range rows {
		for i, who := range columns {
			by, known := callers[who]
			require.True(t, known, "%s is no caller of this test", who)
			err := w.call(ctx, by, method)
			for status.Code(err) == codes.ResourceExhausted { // so many ask for one name
				select {
				case <-ctx.Done():
				case <-time.After(200 * time.Millisecond):
				}
				err = w.call(ctx, by, method)
			}
			if row[i] == "yes" {
				require.NoError(t, err, "%s calls %s", who, method)
				continue
			}
			require.Equal(t, "no", row[i])
			require.Error(t, err, "%s calls %s", who, method)
		}
	}
}

// declared are the methods of the protocol, by service.
var declared = func() map[string]map[string]bool {
	all := map[string]map[string]bool{}
	protoregistry.GlobalFiles.RangeFilesByPackage("writ.v1", func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			all[string(service.FullName())] = map[string]bool{}
			for j := range service.Methods().Len() {
				all[string(service.FullName())][string(service.Methods().Get(j).Name())] = true
			}
		}
		return true
	})
	return all
}()

// methodsOf reads the table of calls.
func methodsOf(t *testing.T) (columns []string, rows map[string][]string) {
	t.Helper()
	raw, err := os.ReadFile("../docs/authorisation.md")
	require.NoError(t, err)
	rows = map[string][]string{}
	for line := range strings.Lines(string(raw)) {
		var cells []string
		for _, cell := range strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|") {
			cells = append(cells, strings.Trim(strings.TrimSpace(cell), "`"))
		}
		inside := columns != nil && len(cells) == len(columns)+1
		if columns != nil && !inside { // the table has ended
			break
		}
		switch {
		case cells[0] == "method":
			columns = cells[1:]
		case !inside || strings.HasPrefix(cells[0], "-"):
		case cells[0] == "any other":
			for _, other := range []string{"writ.v1.Spokes/Anything", "writ.v1.Enrolment/Anything", "writ.v1.Operators/Anything", "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"} {
				rows[other] = cells[1:]
			}
		default:
			rows[cells[0]] = cells[1:]
		}
	}
	require.Greater(t, len(rows), 5, "the table of docs/authorisation.md was not found")
	return columns, rows
}

// cast is everybody who calls: east is live, west was revoked, and whoever holds the hub's CA makes the rest.
func cast(ctx context.Context, t *testing.T, f *fleet.Fleet) (walk, map[string]caller) {
	t.Helper()
	raw, err := os.ReadFile(f.JoinFile("east"))
	require.NoError(t, err)
	join, err := enrol.ParseJoin(raw)
	require.NoError(t, err)
	authorities, err := identity.ParseAuthorities([]byte(join.Authorities))
	require.NoError(t, err)
	live := func(name string) caller {
		dir := filepath.Join(f.StateDir(name), "identity")
		svid, err := identity.LoadSVID(filepath.Join(dir, "svid.pem"))
		require.NoError(t, err)
		key, err := identity.LoadKey(filepath.Join(dir, "receipt.key"), nil)
		require.NoError(t, err)
		raw, err := os.ReadFile(filepath.Join(dir, "enrolment.json"))
		require.NoError(t, err)
		var facts enrol.Facts
		require.NoError(t, json.Unmarshal(raw, &facts))
		return caller{cluster: name, uid: facts.ClusterUID, svid: svid, receipt: key.(ed25519.PrivateKey)}
	}
	east, west := live("east"), live("west")
	f.KillSpoke("east") // one connection for a cluster: it would take it back
	_, err = f.Writ(ctx, "cluster", "revoke", "west", "--yes", "--reason", "a test")
	require.NoError(t, err)
	td := spiffeid.RequireTrustDomainFromString(fleet.TrustDomain)
	ours, err := identity.LoadCA(filepath.Join(f.Dir, "hub", "ca"), td, time.Now())
	require.NoError(t, err)
	theirs, err := identity.LoadCA(t.TempDir(), td, time.Now())
	require.NoError(t, err)
	issued := func(ca *identity.CA, id spiffeid.ID, enrolment string, life time.Duration) *identity.SVID {
		svid, err := ca.Make(t.Context(), enrolment, id, time.Now().Add(-time.Hour), time.Hour+life)
		require.NoError(t, err)
		return svid
	}
	id, enrolment := east.svid.ID, identity.EnrolmentOf(east.svid.Leaf())
	require.NotEmpty(t, enrolment)
	_, stranger, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	olga, rita := operatorOf(ctx, t, f, "olga"), operatorOf(ctx, t, f, "rita")
	require.NoError(t, f.Client.Delete(ctx, operatorBinding("rita")))
	w := walk{join.Hub, authorities}
	require.Eventually(t, func() bool {
		return status.Code(w.call(ctx, caller{svid: rita}, writv1.Operators_Authority_FullMethodName[1:])) == codes.PermissionDenied
	}, 10*time.Second, 100*time.Millisecond, "a right that was taken away ends within seconds")
	expired, earlier, foreign, hub := east, east, east, east
	expired.svid = issued(ours, id, enrolment, -time.Minute)
	earlier.svid, earlier.receipt = issued(ours, id, "0", time.Hour), stranger
	foreign.svid, foreign.receipt = issued(theirs, id, enrolment, time.Hour), stranger
	hub.svid, hub.receipt = issued(ours, identity.Hub(td), "", time.Hour), stranger
	return w, map[string]caller{
		"nothing to show": {cluster: "east", receipt: stranger}, "a spoke that is to join": joiner(ctx, t, f),
		"a live cluster": east, "a cluster whose SVID ran out": expired, "an SVID of an earlier enrolment": earlier,
		"a revoked cluster": west, "an SVID of another CA": foreign, "the hub's own SVID": hub,
		"an operator": {svid: olga, receipt: stranger}, "somebody who was an operator": {svid: rita, receipt: stranger},
		"an operator's SVID that ran out": {svid: issued(ours, olga.ID, "", -time.Minute), receipt: stranger},
	}
}

// joiner is a spoke with both factors, in a cluster whose API server is played.
func joiner(ctx context.Context, t *testing.T, f *fleet.Fleet) caller {
	t.Helper()
	server := enroltest.New("walk")
	join, err := fleettest.Register(ctx, f, t.TempDir(), server, "walk", "uid-of-walk")
	require.NoError(t, err)
	_, stranger, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	public, err := x509.MarshalPKIXPublicKey(stranger.Public())
	require.NoError(t, err)
	request := csr(t) // the same each time: the token is for one spoke
	return caller{cluster: "walk", receipt: mustKey(t), join: func() *writv1.EnrolRequest {
		return &writv1.EnrolRequest{Cluster: "walk", Token: join.Token, Csr: request, ClusterUid: "uid-of-walk", ReceiptKey: public,
			AccountToken: server.Token(enroltest.Claims()), Version: version()}
	}}
}

// call calls a method with all that the caller has to show; nil is that the hub did it.
func (w walk) call(ctx context.Context, by caller, method string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	address, creds := w.hub.Enrol, credentials.NewTLS(identity.EnrolClientTLS(w.authorities))
	if !strings.HasPrefix(method, "writ.v1.Enrolment/") && by.svid != nil {
		creds = identity.DialCredentials(identity.NewSource(by.svid, w.authorities))
	}
	if !strings.HasPrefix(method, "writ.v1.Enrolment/") {
		address = w.hub.Connect
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(creds))
	if err != nil {
		return err
	}
	defer conn.Close()
	key, err := identity.GenerateKey()
	if err != nil {
		return err
	}
	request, err := identity.Request(key)
	if err != nil {
		return err
	}
	switch method {
	case writv1.Enrolment_Enrol_FullMethodName[1:]:
		r := &writv1.EnrolRequest{Cluster: by.cluster, Token: "guessed", Csr: request, Version: version()}
		if by.join != nil {
			r = by.join()
		}
		_, err = writv1.NewEnrolmentClient(conn).Enrol(ctx, r)
	case writv1.Enrolment_Return_FullMethodName[1:]:
		at := timestamppb.Now()
		_, err = writv1.NewEnrolmentClient(conn).Return(ctx, &writv1.ReturnRequest{Cluster: by.cluster, Csr: request, At: at, Version: version(),
			Signature: ed25519.Sign(by.receipt, identity.ReturnProof(by.cluster, at.AsTime(), request))})
	case writv1.Spokes_Renew_FullMethodName[1:]:
		_, err = writv1.NewSpokesClient(conn).Renew(ctx, &writv1.RenewRequest{Csr: request, Version: version()})
	case writv1.Spokes_Connect_FullMethodName[1:]:
		err = w.connect(ctx, conn, by)
	case writv1.Operators_TrustRoot_FullMethodName[1:]:
		_, err = writv1.NewOperatorsClient(conn).TrustRoot(ctx, &writv1.TrustRootRequest{})
	case writv1.Operators_PublishTrustRoot_FullMethodName[1:]:
		_, err = writv1.NewOperatorsClient(conn).PublishTrustRoot(ctx, &writv1.PublishTrustRootRequest{}) // nothing that is new
	case writv1.Operators_Authority_FullMethodName[1:]:
		_, err = writv1.NewOperatorsClient(conn).Authority(ctx, &writv1.AuthorityRequest{})
	case writv1.Operators_RotateAuthority_FullMethodName[1:]:
		_, err = writv1.NewOperatorsClient(conn).RotateAuthority(ctx, &writv1.RotateAuthorityRequest{Hold: true}) // the SVIDs of all others are good still
	default:
		err = conn.Invoke(ctx, "/"+method, &writv1.RenewRequest{}, &writv1.RenewResponse{})
	}
	return err
}

// connect opens the stream, and hears the first word of the hub.
func (w walk) connect(ctx context.Context, conn *grpc.ClientConn, by caller) error {
	stream, err := writv1.NewSpokesClient(conn).Connect(ctx)
	if err != nil {
		return err
	}
	_ = stream.Send(&writv1.SpokeMessage{Body: &writv1.SpokeMessage_Hello{Hello: &writv1.Hello{Head: &writv1.Head{Epoch: 1}, Version: version(), ClusterUid: by.uid}}})
	_, err = stream.Recv()
	return err
}

func mustKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	return key
}

func csr(t *testing.T) []byte {
	t.Helper()
	key, err := identity.GenerateKey()
	require.NoError(t, err)
	raw, err := identity.Request(key)
	require.NoError(t, err)
	return raw
}

func version() *writv1.Version {
	return &writv1.Version{Capability: capability.Current, Release: "walk"}
}
