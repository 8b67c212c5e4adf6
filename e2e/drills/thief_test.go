package drills

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trustfile"
	"github.com/writ-dev/writ/credentials/credentialstest"
	"github.com/writ-dev/writ/credentials/vault"
	deployspoke "github.com/writ-dev/writ/deploy/spoke"
	"github.com/writ-dev/writ/e2e/fleet"
	"github.com/writ-dev/writ/hub/enrol/enroltest"
	"github.com/writ-dev/writ/internal/identity"
	"github.com/writ-dev/writ/spoke/enrol"
	"github.com/writ-dev/writ/spoke/localpolicy"
)

// thief has the run of a fleet's files, and takes of them what a drill says.
type thief struct {
	t     *testing.T
	f     *fleet.Fleet
	scene *credentialstest.Scene
	root  *trust.Root
	uid   string // of the cluster east
	n     int    // of forgeries
	used  []byte // a bundle that was good once
}

func newThief(t *testing.T) *thief {
	f, err := fleet.Start(t.Context(), fleet.Options{Dir: t.TempDir(), Bin: bin, Clusters: []string{"east"}, Bare: true, Vault: true, Progress: os.Stderr})
	t.Cleanup(f.Stop)
	require.NoError(t, err)
	who := &thief{t: t, f: f}
	raw, err := os.ReadFile(who.file("trust", trustfile.RootFile))
	require.NoError(t, err)
	who.root, err = trust.ParseRoot(raw, time.Now())
	require.NoError(t, err)
	east := f.Clusters["east"]
	admin, err := kubernetes.NewForConfig(east.RESTConfig())
	require.NoError(t, err)
	system, err := admin.CoreV1().Namespaces().Get(t.Context(), metav1.NamespaceSystem, metav1.GetOptions{})
	require.NoError(t, err)
	who.uid = string(system.UID)
	_, err = admin.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "elsewhere"}}, metav1.CreateOptions{})
	require.NoError(t, err)
	who.scene = credentialstest.At(t, east, fleet.Namespace, "elsewhere")
	return who
}

func (w *thief) file(path ...string) string {
	return filepath.Join(append([]string{w.f.Dir}, path...)...)
}

func (w *thief) gateway() *bundle.Key {
	key, err := trustfile.LoadSigner(w.file("trust", trustfile.GatewayFile), w.root, trust.RoleGateway)
	require.NoError(w.t, err)
	return key
}

func (w *thief) approver() *bundle.Key {
	raw, err := os.ReadFile(w.f.ApproverKey(fleet.Approvers[0]))
	require.NoError(w.t, err)
	private, err := ssh.ParseRawPrivateKey(raw)
	require.NoError(w.t, err)
	der, err := x509.MarshalPKCS8PrivateKey(*private.(*ed25519.PrivateKey))
	require.NoError(w.t, err)
	path := filepath.Join(w.t.TempDir(), "approver.key")
	require.NoError(w.t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	key, err := trustfile.LoadSigner(path, w.root, trust.RoleApprovers)
	require.NoError(w.t, err)
	return key
}

func (w *thief) east() *identity.SVID {
	svid, err := identity.LoadSVID(w.file("spoke-east", "identity", "svid.pem"))
	require.NoError(w.t, err)
	return svid
}

// forgery is a bundle as a thief would want it.
type forgery struct {
	name string
	raw  []byte
}

// order is one to scale checkout, as the catalogue would have it.
func (w *thief) order(namespace, parameters string) bundle.Order {
	live, err := w.scene.Admin.AppsV1().Deployments(namespace).Get(w.t.Context(), credentialstest.Checkout, metav1.GetOptions{})
	require.NoError(w.t, err)
	w.n++
	id := "stolen-" + string(rune('a'+w.n/26)) + string(rune('a'+w.n%26))
	now := time.Now().UTC().Truncate(time.Second)
	o := bundle.Order{Format: bundle.Format, ID: "order-" + id, Audience: bundle.Audience{TrustDomain: fleet.TrustDomain, Cluster: "east", ClusterUID: w.uid},
		ValidFrom: now, ValidUntil: now.Add(bundle.OrderLife), Action: "scale", Parameters: json.RawMessage(parameters), RequestID: id, PolicyDigest: bundle.Digest(nil),
		Target:   catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: namespace, Name: credentialstest.Checkout, UID: string(live.UID)},
		Observed: catalogue.Facts{UID: string(live.UID), Generation: live.Generation, ObservedGeneration: live.Generation, Replicas: 3, ReadyReplicas: 3}}
	action, c, ok := o.Case()
	require.True(w.t, ok)
	o.Tier, _ = action.TierOf(c)
	o.Rules, o.Prediction, o.DeadlineSeconds = action.Rules(c), action.Predict(c), int64(action.Deadline.Seconds())
	return o
}

// seal makes a bundle of an order.
func (w *thief) seal(o bundle.Order, gateway *bundle.Key, approvers ...*bundle.Key) []byte {
	signers := make([]bundle.Signer, len(approvers))
	for i, key := range approvers {
		signers[i] = key
	}
	order, err := bundle.Seal(w.t.Context(), bundle.OrderType, o, signers...)
	require.NoError(w.t, err)
	raw, err := bundle.Seal(w.t.Context(), bundle.BundleType, bundle.Bundle{Format: bundle.Format, ID: "bundle-" + o.RequestID, Epoch: 1, Sequence: 1,
		NotBefore: o.ValidFrom, Expires: o.ValidFrom.Add(bundle.MaxBundleLife), Order: order}, gateway)
	require.NoError(w.t, err)
	return raw
}

// forgeries are what a thief would have signed by a key, with what approvals it has; low is good where the key is the gateway's.
func (w *thief) forgeries(gateway *bundle.Key, approvers ...*bundle.Key) []forgery {
	changed := func(name string, change func(*bundle.Order)) forgery {
		o := w.order(w.scene.Allowed, `{"replicas":4}`)
		change(&o)
		return forgery{name, w.seal(o, gateway)}
	}
	high := w.order(w.scene.Allowed, `{"replicas":0}`)
	require.Equal(w.t, catalogue.High, high.Tier)
	called := w.order(w.scene.Allowed, `{"replicas":0}`)
	called.Tier = catalogue.Low
	return []forgery{
		{"low", w.seal(w.order(w.scene.Allowed, `{"replicas":4}`), gateway)},
		{"high", w.seal(high, gateway, append(approvers, gateway)...)},
		{"high, called low", w.seal(called, gateway)},
		{"in a namespace that is not allowed", w.seal(w.order(w.scene.Other, `{"replicas":4}`), gateway)},
		changed("wider rules", func(o *bundle.Order) { o.Rules[0].ResourceNames = nil }),
		changed("another cluster", func(o *bundle.Order) { o.Audience.Cluster = "west" }),
		changed("a day's deadline", func(o *bundle.Order) { o.DeadlineSeconds = 86400 }),
	}
}

// buy shows Vault a bundle, with an SVID or without, and returns what reaches the API server by it.
func (w *thief) buy(svid *identity.SVID, raw []byte) []string {
	config := api.DefaultConfig()
	config.Address, config.MaxRetries = w.f.Vault.Address(), 0
	pool := x509.NewCertPool()
	authority, err := os.ReadFile(w.f.Vault.CACert())
	require.NoError(w.t, err)
	pool.AppendCertsFromPEM(authority)
	with := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}
	if svid != nil {
		with.GetClientCertificate = identity.NewSource(svid, nil).ClientCertificate
	}
	config.HttpClient = &http.Client{Transport: &http.Transport{TLSClientConfig: with}}
	client, err := api.NewClient(config)
	require.NoError(w.t, err)
	client.ClearToken()
	secret, err := client.Logical().WriteWithContext(w.t.Context(), vault.AuthPath+"login", map[string]any{"bundle": string(raw)})
	if err != nil {
		var answer *api.ResponseError
		require.ErrorAs(w.t, err, &answer, "Vault must answer")
		require.Equal(w.t, http.StatusBadRequest, answer.StatusCode, "refused, and not broken: %v", err)
		return nil
	}
	client.SetToken(secret.Auth.ClientToken)
	defer w.giveBack(client, secret.Auth.Metadata["bundle"])
	secret, err = client.Logical().WriteWithContext(w.t.Context(), secret.Auth.Metadata["path"], map[string]any{"kubernetes_namespace": secret.Auth.Metadata["namespace"], "ttl": "600s"})
	if err != nil {
		return nil
	}
	token := secret.Data["service_account_token"].(string)
	w.narrow(token)
	return w.reach(token)
}

func (w *thief) giveBack(client *api.Client, bundle string) {
	_, err := client.Logical().WriteWithContext(w.t.Context(), vault.AuthPath+"end", map[string]any{"bundle": bundle})
	require.NoError(w.t, err)
}

// narrow demands that the Role of a credential alone, without the admission that stands behind it, allows no more than what was ordered.
func (w *thief) narrow(token string) {
	config := rest.AnonymousClientConfig(w.f.Clusters["east"].RESTConfig())
	config.BearerToken = token
	require.Equal(w.t, []string{"get apps/deployments/scale allowed/checkout", "patch apps/deployments/scale allowed/checkout"}, w.scene.Rights(w.t, config))
}

// reach is what a token, or none, is let through at the API server.
func (w *thief) reach(token string) (got []string) {
	config := rest.AnonymousClientConfig(w.f.Clusters["east"].RESTConfig())
	config.BearerToken = token
	for _, one := range w.scene.Reach(w.t, config) {
		got = append(got, "API server: "+one)
	}
	return got
}

// obeys is what a spoke that was not taken over does with a bundle that the hub sent: it judges for itself first.
func (w *thief) obeys(raw []byte) []string {
	d, no := bundle.Decode(raw)
	require.Nil(w.t, no)
	a, no := trust.Authenticate(w.t.Context(), d, w.root, trust.Expect{Audience: bundle.Audience{TrustDomain: fleet.TrustDomain, Cluster: "east", ClusterUID: w.uid}, Epoch: 1})
	if no != nil {
		return nil
	}
	v, no := trust.Judge(w.t.Context(), a, time.Now())
	if no != nil {
		return nil
	}
	if no := localpolicy.Open(w.file("east.policy.yaml"), slog.New(slog.DiscardHandler)).Allow(v.Order(), v.Floor(), time.Now()); no != nil {
		return nil
	}
	w.used = raw
	return w.buy(w.east(), raw)
}

func (w *thief) gatewayKey(*testing.T) (got []string) {
	for _, f := range w.forgeries(w.gateway()) {
		got = append(got, w.buy(nil, f.raw)...)
	}
	return append(append(got, w.connect(nil)...), w.reach("")...)
}

func (w *thief) gatewayKeyInPlace(*testing.T) (got []string) {
	for _, f := range w.forgeries(w.gateway()) {
		obeyed := w.obeys(f.raw)
		require.Equal(w.t, f.name == "low", len(obeyed) > 0, f.name)
		got = append(got, obeyed...)
	}
	return got
}

func (w *thief) svid(*testing.T) []string { return w.asEast(w.east()) }

// dataFolder is the hub's, with the CA's key: it makes identities of any cluster.
func (w *thief) dataFolder(t *testing.T) []string {
	dir := t.TempDir()
	for _, name := range []string{"ca.key", "ca.crt"} {
		raw, err := os.ReadFile(w.file("hub", "ca", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), raw, 0o600))
	}
	domain := spiffeid.RequireTrustDomainFromString(fleet.TrustDomain)
	ca, err := identity.LoadCA(dir, domain, time.Now())
	require.NoError(t, err)
	id, err := identity.Cluster(domain, "east")
	require.NoError(t, err)
	forged, err := ca.Make(t.Context(), "1", id, time.Now(), time.Hour) // the data folder says which enrolment it is
	require.NoError(t, err)
	return w.asEast(forged)
}

// asEast does what an SVID of the cluster is good for, with no bundle that is good.
func (w *thief) asEast(svid *identity.SVID) (got []string) {
	require.NotEmpty(w.t, w.used)
	for _, f := range append(w.forgeries(w.approver()), forgery{"one that was used", w.used}, forgery{"none", nil}, forgery{"not JSON", []byte("x")}) {
		got = append(got, w.buy(svid, f.raw)...)
	}
	return append(append(got, w.connect(svid)...), w.reach("")...)
}

func (w *thief) credential(*testing.T) []string {
	return w.obeys(w.seal(w.order(w.scene.Allowed, `{"replicas":4}`), w.gateway()))
}

func (w *thief) approverKey(*testing.T) (got []string) {
	key := w.approver()
	for _, f := range w.forgeries(key, key) {
		got = append(append(got, w.buy(nil, f.raw)...), w.obeys(f.raw)...)
	}
	return append(got, w.connect(nil)...)
}

func (w *thief) gatewayAndApprover(*testing.T) (got []string) {
	for _, f := range w.forgeries(w.gateway(), w.approver()) {
		obeyed := append(w.obeys(f.raw), w.buy(nil, f.raw)...)
		require.Equal(w.t, f.name == "low", len(obeyed) > 0, f.name)
		got = append(got, obeyed...)
	}
	return got
}

// database looks in the files of the hub's store and its audit log, as they are on disk, for anything that opens a door, and then tries the
// doors with nothing to show.
func (w *thief) database(*testing.T) (got []string) {
	files, secrets := 0, w.secrets()
	for _, dir := range []string{"store", "audit"} {
		err := filepath.WalkDir(w.file("hub", dir), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			raw, err := os.ReadFile(path)
			files++
			for name, secret := range secrets {
				if bytes.Contains(raw, secret) {
					got = append(got, "found in the files: "+name)
				}
			}
			return err
		})
		require.NoError(w.t, err)
	}
	require.NotZero(w.t, files)
	return append(append(got, w.connect(nil)...), w.reach("")...)
}

// secrets are what opens a door, as it would stand in a file.
func (w *thief) secrets() map[string][]byte {
	secrets := map[string][]byte{"a private key": []byte("PRIVATE KEY"), "a token of Kubernetes": []byte("eyJhbGciOi"), "a token of Vault": []byte("hvs."),
		"a kubeconfig": []byte("client-key-data"), "Vault's root token": []byte(w.f.Vault.RootToken())}
	for name, file := range map[string]string{"the gateway's key": w.file("trust", trustfile.GatewayFile), "the CA's key": w.file("hub", "ca", "ca.key")} {
		raw, err := os.ReadFile(file)
		require.NoError(w.t, err)
		block, _ := pem.Decode(raw)
		require.NotNil(w.t, block, file)
		secrets[name] = block.Bytes
	}
	raw, err := os.ReadFile(w.file("east.join"))
	require.NoError(w.t, err)
	join, err := enrol.ParseJoin(raw)
	require.NoError(w.t, err)
	secrets["a join token"] = []byte(join.Token)
	return secrets
}

func (w *thief) joinToken(t *testing.T) (got []string) {
	file := filepath.Join(t.TempDir(), "west.join")
	_, err := w.f.Writ(t.Context(), "cluster", "register", "west", "--workload", w.f.Clusters["east"].Kubeconfig(), "--print", "-f", file)
	require.NoError(t, err)
	raw, err := os.ReadFile(file)
	require.NoError(t, err)
	first, err := w.enrols(raw, foreignToken)
	if first != nil {
		got = append(got, "hub: enrol as cluster west")
	}
	require.ErrorContains(t, err, "AccountTokenWrong", "a token alone lets in nobody: the thief's cluster signs with another key")
	return append(got, w.reach("")...)
}

// usedJoinToken tries a token that let a spoke in once, with the second factor that a thief can make, and with a good one, which only
// whoever has the cluster can: the token's being used must be enough.
func (w *thief) usedJoinToken(*testing.T) (got []string) {
	raw, err := os.ReadFile(w.file("east.join"))
	require.NoError(w.t, err)
	own := func() (string, error) {
		return w.f.Clusters["east"].TokenFor(w.t.Context(), deployspoke.SystemNamespace, deployspoke.SpokeAccount, 10*time.Minute, identity.EnrolAudience)
	}
	for says, second := range map[string]func() (string, error){"AccountTokenWrong": foreignToken, "TokenUsed": own} {
		again, err := w.enrols(raw, second)
		if again != nil {
			got = append(got, "hub: enrol as cluster east, twice")
			continue
		}
		require.ErrorContains(w.t, err, says)
	}
	return append(got, w.reach("")...)
}

// foreignToken is the second factor as a thief can make it: of a cluster of the thief's own.
func foreignToken() (string, error) {
	return enroltest.New("thief").Token(enroltest.Claims()), nil
}

func (w *thief) enrols(raw []byte, second func() (string, error)) (*enrol.Enrolment, error) {
	join, err := enrol.ParseJoin(raw)
	require.NoError(w.t, err)
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	return enrol.Spoke{Dir: w.t.TempDir(), ClusterUID: w.uid, Release: "stolen", AccountToken: second, Log: slog.New(slog.DiscardHandler), Now: time.Now}.Start(ctx, join)
}

// connect tries the hub's port for spokes with an SVID, or without.
func (w *thief) connect(svid *identity.SVID) []string {
	raw, err := os.ReadFile(w.file("east.join"))
	require.NoError(w.t, err)
	join, err := enrol.ParseJoin(raw)
	require.NoError(w.t, err)
	authorities, err := identity.ParseAuthorities([]byte(join.Authorities))
	require.NoError(w.t, err)
	config := identity.EnrolClientTLS(authorities)
	if svid != nil {
		config = identity.ClientTLS(identity.NewSource(svid, authorities))
	}
	dialer := &tls.Dialer{Config: config}
	conn, err := dialer.DialContext(w.t.Context(), "tcp", join.Hub.Connect)
	require.NoError(w.t, err, "TLS 1.3 tells of a client's certificate afterwards")
	defer conn.Close()
	require.NoError(w.t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	first := make([]byte, 9) // the head of HTTP/2's settings, which a server that takes the client sends first
	if _, err := conn.Read(first); err != nil {
		require.True(w.t, strings.Contains(err.Error(), "certificate"), "%v", err)
		return nil
	}
	return []string{"hub: connect as cluster east"}
}
