package trust_test

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/binary"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/sigstore/sigstore/pkg/signature"
	"github.com/stretchr/testify/require"
	"github.com/theupdateframework/go-tuf/v2/metadata"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trust/trusttest"
)

// hardwareDomain is a trust domain with two approvers, of whom two must sign: one with a hardware key, and one with a key in a file.
type hardwareDomain struct {
	*trusttest.Fixture
	authenticator *trusttest.Authenticator
	file          *bundle.Key
}

func newHardwareDomain(t *testing.T, keyType string) *hardwareDomain {
	t.Helper()
	d := &hardwareDomain{trusttest.New(t), trusttest.NewAuthenticator(t, keyType, "ssh:writ"), nil}
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	d.Root = hardwareRoot(t, d.Fixture, []trust.Approver{{Name: "ann", Key: d.authenticator.Public}, {Name: "bob", Key: public}})
	keys, err := d.Root.Keys(trust.RoleApprovers)
	require.NoError(t, err)
	require.True(t, keys[0].Hardware())
	id, err := keys[1].KeyID()
	require.NoError(t, err)
	d.file, err = bundle.NewSigner(id, private)
	require.NoError(t, err)
	return d
}

// hardwareRoot is a trust root with the fixture's gateway key and other approvers.
func hardwareRoot(t *testing.T, f *trusttest.Fixture, approvers []trust.Approver) *trust.Root {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	raw, err := trust.Sign(trust.Draft{Version: 1, Expires: f.Now.Add(time.Hour), Threshold: map[trust.Role]int{trust.RoleApprovers: 2}, Approvers: approvers,
		Keys: map[trust.Role][]ed25519.PublicKey{trust.RoleRoot: {public}, trust.RoleGateway: {f.GatewayKey.Public().(ed25519.PublicKey)}}}, private)
	require.NoError(t, err)
	root, err := trust.ParseRoot(raw, f.Now)
	require.NoError(t, err)
	return root
}

// by signs with the authenticator through an ssh-agent's own protocol, as writ approve does.
func (d *hardwareDomain) by(t *testing.T) bundle.Signer {
	t.Helper()
	connection, err := net.Dial("unix", d.authenticator.Serve(t))
	require.NoError(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	keys, err := d.Root.Keys(trust.RoleApprovers)
	require.NoError(t, err)
	return throughAgent{keys[0], agent.NewClient(connection)}
}

type throughAgent struct {
	*bundle.Key
	held agent.Agent
}

func (a throughAgent) Sign(_ context.Context, data []byte) ([]byte, error) {
	public, err := a.SSH()
	if err != nil {
		return nil, err
	}
	signature, err := a.held.Sign(public, data)
	if err != nil {
		return nil, err
	}
	return ssh.Marshal(signature), nil
}

func (d *hardwareDomain) judged(t *testing.T, signers ...bundle.Signer) *refusal.Refusal {
	t.Helper()
	four := d.Order()
	o := d.OrderFor(four.Action, four.Target, four.Observed, `{"replicas":0}`)
	b := d.Bundle(o)
	var err error
	b.Order, err = bundle.Seal(t.Context(), bundle.OrderType, o, signers...)
	require.NoError(t, err)
	return judged(t, d.Fixture, d.Seal(b), d.Now)
}

// A hardware key counts as any approver's key does, as long as it was touched, for the application that the trust root names, and
// signed with the flags and the counter that it says.
func TestHardwareKeysApprove(t *testing.T) {
	for _, keyType := range bundle.HardwareTypes() {
		for name, tc := range map[string]struct {
			change func(*trusttest.Authenticator)
			counts bool
		}{
			"touched":                  {func(*trusttest.Authenticator) {}, true},
			"with a PIN, too":          {func(a *trusttest.Authenticator) { a.Flags |= 0x04 }, true},
			"the first signature":      {func(a *trusttest.Authenticator) { a.Counter = ^uint32(0) }, true}, // comes round to 0
			"not touched":              {func(a *trusttest.Authenticator) { a.Flags = 0 }, false},
			"with a PIN, not touched":  {func(a *trusttest.Authenticator) { a.Flags = 0x04 }, false},
			"another application":      {func(a *trusttest.Authenticator) { a.Application = "ssh:other" }, false},
			"a web site's application": {func(a *trusttest.Authenticator) { a.Application = "https://example.org" }, false},
			"says it was touched": {func(a *trusttest.Authenticator) {
				a.Flags, a.Rest = 0, func(_ byte, counter uint32) []byte { return binary.BigEndian.AppendUint32([]byte{1}, counter) }
			}, false},
			"another counter": {func(a *trusttest.Authenticator) {
				a.Rest = func(flags byte, counter uint32) []byte {
					return binary.BigEndian.AppendUint32([]byte{flags}, counter+1)
				}
			}, false},
			"the counter's bytes swapped": {func(a *trusttest.Authenticator) {
				a.Rest = func(flags byte, counter uint32) []byte {
					return binary.LittleEndian.AppendUint32([]byte{flags}, counter)
				}
			}, false},
			"a counter of eight bytes": {func(a *trusttest.Authenticator) {
				a.Rest = func(flags byte, counter uint32) []byte {
					return binary.BigEndian.AppendUint64([]byte{flags}, uint64(counter))
				}
			}, false},
			"no flags, no counter": {func(a *trusttest.Authenticator) { a.Rest = func(byte, uint32) []byte { return nil } }, false},
		} {
			t.Run(keyType+"/"+name, func(t *testing.T) {
				d := newHardwareDomain(t, keyType)
				tc.change(d.authenticator)
				no := d.judged(t, d.by(t), d.file)
				if tc.counts {
					require.Nil(t, no)
					return
				}
				require.NotNil(t, no)
				require.Equal(t, refusal.ApprovalsMissing, no.Reason, no.Detail)
			})
		}
	}
}

// What is inside a hardware key verifies nothing by itself, and a signature has one encoding.
func TestHardwareSignaturesHaveOneForm(t *testing.T) {
	for _, keyType := range bundle.HardwareTypes() {
		d := newHardwareDomain(t, keyType)
		keys, err := d.Root.Keys(trust.RoleApprovers)
		require.NoError(t, err)
		data := dsse.PAE(bundle.OrderType, []byte("{}"))
		signature := d.authenticator.Sign(data)
		good := ssh.Marshal(signature)
		require.NoError(t, keys[0].Verify(t.Context(), data, good))
		other := *signature
		other.Format = ssh.KeyAlgoED25519
		for name, bad := range map[string][]byte{
			"empty":          nil,
			"the blob alone": signature.Blob,
			"cut":            good[:len(good)-1],
			"longer":         append(append([]byte{}, good...), 0),
			"another type":   ssh.Marshal(other),
			"junk":           []byte(strings.Repeat("x", 300)),
		} {
			require.Error(t, keys[0].Verify(t.Context(), data, bad), "%s: %s", keyType, name)
		}
		require.Error(t, keys[0].Verify(t.Context(), dsse.PAE(bundle.BundleType, []byte("{}")), good), "another payload type")
		for i := range good {
			for bit := range 8 {
				flipped := append([]byte{}, good...)
				flipped[i] ^= 1 << bit
				require.Error(t, keys[0].Verify(t.Context(), data, flipped), "%s: byte %d bit %d", keyType, i, bit)
			}
		}
		_, err = keys[0].Sign(t.Context(), data)
		require.Error(t, err)
	}
}

// One hardware key is one approver, however often it signs.
func TestAHardwareKeySignsOnce(t *testing.T) {
	d := newHardwareDomain(t, ssh.KeyAlgoSKED25519)
	hardware := d.by(t)
	for _, signers := range [][]bundle.Signer{{hardware}, {hardware, hardware}, {d.file, hardware, hardware}} {
		no := d.judged(t, signers...)
		require.NotNil(t, no)
		require.Equal(t, refusal.ApprovalsMissing, no.Reason, no.Detail)
	}
}

// A trust root names hardware keys for approvers alone, made for SSH, in one form.
func TestHardwareKeysOfATrustRoot(t *testing.T) {
	f := trusttest.New(t)
	ours := trusttest.NewAuthenticator(t, ssh.KeyAlgoSKED25519, "ssh:").Public
	theirs := trusttest.NewAuthenticator(t, ssh.KeyAlgoSKECDSA256, "https://example.org").Public
	_, err := trust.Sign(trust.Draft{Expires: f.Now, Approvers: []trust.Approver{{Name: "ann", Key: theirs}}})
	require.ErrorContains(t, err, `made for "https://example.org"`)
	plain, err := ssh.NewPublicKey(f.GatewayKey.Public())
	require.NoError(t, err)
	_, err = trust.Sign(trust.Draft{Expires: f.Now, Approvers: []trust.Approver{{Name: "ann", Key: plain}}})
	require.ErrorContains(t, err, "it is of type ssh-ed25519", "one key has one form")

	text := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(ours)))
	for name, tc := range map[string]struct {
		role        trust.Role
		kind, value string
		says        string
	}{
		"an approver's":  {trust.RoleApprovers, ours.Type(), text, ""},
		"the gateway's":  {trust.RoleGateway, ours.Type(), text, "only approvers"},
		"a comment":      {trust.RoleApprovers, ours.Type(), text + " ann", "not those of one hardware key"},
		"an option":      {trust.RoleApprovers, ours.Type(), "no-touch-required " + text, "not those of one hardware key"},
		"another type":   {trust.RoleApprovers, ssh.KeyAlgoSKECDSA256, text, "not those of one hardware key"},
		"a web site's":   {trust.RoleApprovers, theirs.Type(), strings.TrimSpace(string(ssh.MarshalAuthorizedKey(theirs))), "application"},
		"no key":         {trust.RoleApprovers, ours.Type(), "sk", "ssh"},
		"an unknown one": {trust.RoleApprovers, "sk-unknown", text, "unsupported"},
	} {
		t.Run(name, func(t *testing.T) {
			root, err := rootWith(t, f, tc.role, tc.kind, tc.value)
			var keys []*bundle.Key
			if err == nil {
				keys, err = root.Keys(tc.role)
			}
			if tc.says != "" {
				require.ErrorContains(t, err, tc.says)
				return
			}
			require.NoError(t, err)
			require.Len(t, keys, 1)
			require.Equal(t, crypto.PublicKey(ours).(ssh.PublicKey).Marshal(), keys[0].Public().(ssh.PublicKey).Marshal())
		})
	}
}

// rootWith is a trust root that lists a key as somebody else's tool might have.
func rootWith(t *testing.T, f *trusttest.Fixture, role trust.Role, kind, value string) (*trust.Root, error) {
	t.Helper()
	meta := metadata.Root(f.Now.Add(time.Hour))
	public, private, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	rootKey, err := metadata.KeyFromPublicKey(public)
	require.NoError(t, err)
	meta.Signed.Roles = map[string]*metadata.Role{}
	for _, r := range trust.Roles() {
		meta.Signed.Roles[string(r)] = &metadata.Role{KeyIDs: []string{}, Threshold: 1}
	}
	require.NoError(t, meta.Signed.AddKey(rootKey, string(trust.RoleRoot)))
	require.NoError(t, meta.Signed.AddKey(&metadata.Key{Type: kind, Scheme: kind, Value: metadata.KeyVal{PublicKey: value}}, string(role)))
	signer, err := signature.LoadSigner(private, crypto.Hash(0))
	require.NoError(t, err)
	_, err = meta.Sign(signer)
	require.NoError(t, err)
	raw, err := meta.ToBytes(false)
	require.NoError(t, err)
	return trust.ParseRoot(raw, f.Now)
}
