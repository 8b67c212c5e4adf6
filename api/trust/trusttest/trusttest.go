// Package trusttest makes real trust roots, orders and bundles for tests: nothing in it is faked, only the keys are new.
package trusttest

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/trust"
)

// ApproverNames are whom the trust root of a fixture gives the approvers' keys to, in their order.
var ApproverNames = []string{"ann", "bob", "cyd"}

// Fixture is a trust domain with one gateway key and a quorum of two of three approvers.
type Fixture struct {
	t           testing.TB
	Now         time.Time
	Audience    bundle.Audience
	Root        *trust.Root
	Gateway     *bundle.Key
	GatewayKey  ed25519.PrivateKey
	Approvers   []*bundle.Key
	RootKeys    []*bundle.Key // three, of which two must sign
	RootPrivate []ed25519.PrivateKey
	Sequence    uint64 // of the last bundle taken
	Previous    string // its digest
	Epoch       uint64
	first       trust.Draft
}

// New makes a fixture for a cluster "east".
func New(t testing.TB) *Fixture {
	t.Helper()
	f := &Fixture{t: t, Now: time.Now().UTC().Truncate(time.Second), Epoch: 1, Sequence: 41, Previous: bundle.Digest([]byte("before")),
		Audience: bundle.Audience{TrustDomain: "test.writ.dev", Cluster: "east", ClusterUID: "0a1b"}}
	rootPublic, rootKeys := keys(t, 3)
	gatewayPublic, gatewayKeys := keys(t, 1)
	approverPublic, approverKeys := keys(t, 3)
	f.first = trust.Draft{
		Version: 1, Expires: f.Now.Add(24 * time.Hour),
		Threshold: map[trust.Role]int{trust.RoleRoot: 2, trust.RoleApprovers: 2},
		Keys:      map[trust.Role][]ed25519.PublicKey{trust.RoleRoot: rootPublic, trust.RoleGateway: gatewayPublic},
		Approvers: []trust.Approver{{Name: ApproverNames[0], Key: approverPublic[0]}, {Name: ApproverNames[1], Key: approverPublic[1]},
			{Name: ApproverNames[2], Key: approverPublic[2]}},
	}
	f.RootPrivate = rootKeys
	var err error
	f.Root, err = trust.ParseRoot(f.Sign(f.first), f.Now)
	require.NoError(t, err)
	f.GatewayKey = gatewayKeys[0]
	f.Gateway = Signer(t, gatewayKeys[0])
	for _, key := range rootKeys {
		f.RootKeys = append(f.RootKeys, Signer(t, key))
	}
	listed, err := f.Root.Keys(trust.RoleApprovers)
	require.NoError(t, err)
	for i, key := range listed {
		id, _ := key.KeyID()
		require.Equal(t, ApproverNames[i], f.Root.Owner(id))
		approver, err := bundle.NewSigner(id, approverKeys[i])
		require.NoError(t, err)
		f.Approvers = append(f.Approvers, approver)
	}
	return f
}

// Draft is the trust root of the fixture as a draft of another version. It is the caller's to change.
func (f *Fixture) Draft(version int64) trust.Draft {
	draft := f.first
	draft.Version = version
	draft.Keys, draft.Threshold, draft.Approvers = maps.Clone(draft.Keys), maps.Clone(draft.Threshold), slices.Clone(draft.Approvers)
	return draft
}

// Sign signs a draft with two of the root keys, or with the keys given.
func (f *Fixture) Sign(draft trust.Draft, signers ...ed25519.PrivateKey) []byte {
	f.t.Helper()
	if len(signers) == 0 {
		signers = f.RootPrivate[:2]
	}
	raw, err := trust.Sign(draft, signers...)
	require.NoError(f.t, err)
	return raw
}

// Approver is an approver's key under its ID in the trust root.
func (f *Fixture) Approver(a trust.Approver, private ed25519.PrivateKey) *bundle.Key {
	f.t.Helper()
	id, err := a.KeyID()
	require.NoError(f.t, err)
	key, err := bundle.NewSigner(id, private)
	require.NoError(f.t, err)
	return key
}

// Private makes keys that no trust root names yet.
func Private(t testing.TB, n int) []ed25519.PrivateKey {
	t.Helper()
	_, private := keys(t, n)
	return private
}

// Public is the public halves.
func Public(private []ed25519.PrivateKey) (public []ed25519.PublicKey) {
	for _, key := range private {
		public = append(public, key.Public().(ed25519.PublicKey))
	}
	return public
}

// SealHead signs a head with the gateway's key.
func (f *Fixture) SealHead(head bundle.Head) []byte {
	f.t.Helper()
	return f.seal(bundle.HeadType, head, []*bundle.Key{f.Gateway})
}

// Signer is a key under its ID in the trust root.
func Signer(t testing.TB, private ed25519.PrivateKey) *bundle.Key {
	t.Helper()
	id, err := trust.KeyID(private.Public().(ed25519.PublicKey))
	require.NoError(t, err)
	key, err := bundle.NewSigner(id, private)
	require.NoError(t, err)
	return key
}

// Keys makes signers that no trust root names.
func (f *Fixture) Keys(n int) []*bundle.Key {
	_, private := keys(f.t, n)
	var signers []*bundle.Key
	for _, key := range private {
		signers = append(signers, Signer(f.t, key))
	}
	return signers
}

func keys(t testing.TB, n int) (public []ed25519.PublicKey, private []ed25519.PrivateKey) {
	t.Helper()
	for range n {
		pub, key, err := ed25519.GenerateKey(nil)
		require.NoError(t, err)
		public, private = append(public, pub), append(private, key)
	}
	return public, private
}

// Expect is what the cluster expects next.
func (f *Fixture) Expect() trust.Expect {
	return trust.Expect{Audience: f.Audience, Epoch: f.Epoch, Sequence: f.Sequence, Previous: f.Previous}
}

// Order is a valid low-tier order: checkout in the namespace shop, from 3 replicas to 4.
func (f *Fixture) Order() bundle.Order {
	return f.OrderFor("scale", catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout", UID: "d1"},
		catalogue.Facts{UID: "d1", Generation: 7, ObservedGeneration: 7, Replicas: 3, ReadyReplicas: 3}, `{"replicas":4}`)
}

// OrderFor is a valid order of any action of the catalogue, at the tier that its content demands.
func (f *Fixture) OrderFor(name string, target catalogue.Target, facts catalogue.Facts, parameters string) bundle.Order {
	f.t.Helper()
	o := bundle.Order{
		Format: bundle.Format, ID: "order-" + target.Name, Audience: f.Audience, ValidFrom: f.Now, ValidUntil: f.Now.Add(bundle.OrderLife),
		Action: name, Target: target, Parameters: json.RawMessage(parameters), Observed: facts,
		RequestID: target.Name, PolicyDigest: bundle.Digest(nil),
	}
	action, c, ok := o.Case()
	require.True(f.t, ok, "the catalogue has no %q", name)
	o.Tier, _ = action.TierOf(c)
	o.Rules, o.Prediction, o.DeadlineSeconds = action.Rules(c), action.Predict(c), int64(action.Deadline.Seconds())
	return o
}

// Rehearsal is the rehearsal of an order, to begin now.
func (f *Fixture) Rehearsal(o bundle.Order) bundle.Rehearsal {
	return bundle.Rehearsal{Format: bundle.Format, ID: "rehearsal-" + o.RequestID + "-1", Audience: o.Audience, NotBefore: f.Now,
		Expires: f.Now.Add(bundle.MaxRehearsalLife), OrderID: o.ID, Action: o.Action, Target: o.Target, Parameters: o.Parameters, Observed: o.Observed,
		Tier: o.Tier, DeadlineSeconds: o.DeadlineSeconds, Rules: o.Rules, RequestID: o.RequestID, PolicyDigest: o.PolicyDigest, Template: o.Template}
}

// SealRehearsal signs a rehearsal with the gateway's key, or with the keys given.
func (f *Fixture) SealRehearsal(r bundle.Rehearsal, signers ...*bundle.Key) []byte {
	if len(signers) == 0 {
		signers = []*bundle.Key{f.Gateway}
	}
	return f.seal(bundle.RehearsalType, r, signers)
}

// Rehearsable takes a rehearsal of an order through the kernel.
func (f *Fixture) Rehearsable(o bundle.Order) trust.Rehearsable {
	f.t.Helper()
	a, no := trust.AuthenticateRehearsal(context.Background(), f.SealRehearsal(f.Rehearsal(o)), f.Root, f.Audience)
	require.Nil(f.t, no)
	r, no := trust.JudgeRehearsal(a, f.Now)
	require.Nil(f.t, no)
	return r
}

// Bundle wraps an order, signed by approvers if any, as the next bundle of the cluster.
func (f *Fixture) Bundle(o bundle.Order, approvers ...*bundle.Key) bundle.Bundle {
	f.t.Helper()
	return bundle.Bundle{Format: bundle.Format, ID: "bundle-" + o.RequestID, Epoch: f.Epoch, Sequence: f.Sequence + 1,
		Previous: f.Previous, NotBefore: f.Now, Expires: f.Now.Add(bundle.MaxBundleLife), Order: f.seal(bundle.OrderType, o, approvers)}
}

// Seal signs a bundle with the gateway's key, or with the keys given.
func (f *Fixture) Seal(b bundle.Bundle, signers ...*bundle.Key) []byte {
	if len(signers) == 0 {
		signers = []*bundle.Key{f.Gateway}
	}
	return f.seal(bundle.BundleType, b, signers)
}

// Unsigned is the envelope of a bundle that nobody signed.
func (f *Fixture) Unsigned(b bundle.Bundle) []byte { return f.seal(bundle.BundleType, b, nil) }

func (f *Fixture) seal(payloadType string, payload any, signers []*bundle.Key) []byte {
	f.t.Helper()
	with := make([]bundle.Signer, len(signers))
	for i, signer := range signers {
		with[i] = signer
	}
	raw, err := bundle.Seal(context.Background(), payloadType, payload, with...)
	require.NoError(f.t, err)
	return raw
}

// SealRaw signs bytes as they are with the gateway's key, for payloads that Seal would not write.
func (f *Fixture) SealRaw(payloadType string, payload []byte) []byte {
	f.t.Helper()
	sig, err := f.Gateway.Sign(context.Background(), dsse.PAE(payloadType, payload))
	require.NoError(f.t, err)
	id, _ := f.Gateway.KeyID()
	raw, err := json.Marshal(dsse.Envelope{PayloadType: payloadType, Payload: base64.StdEncoding.EncodeToString(payload),
		Signatures: []dsse.Signature{{KeyID: id, Sig: base64.StdEncoding.EncodeToString(sig)}}})
	require.NoError(f.t, err)
	return raw
}

// Verified takes an order through the whole kernel; the cluster then expects the next one.
func (f *Fixture) Verified(o bundle.Order, approvers ...*bundle.Key) trust.Verified {
	f.t.Helper()
	d, no := bundle.Decode(f.Seal(f.Bundle(o, approvers...)))
	require.Nil(f.t, no)
	a, no := trust.Authenticate(context.Background(), d, f.Root, f.Expect())
	require.Nil(f.t, no)
	v, no := trust.Judge(context.Background(), a, f.Now)
	require.Nil(f.t, no)
	f.Sequence, f.Previous = d.Bundle.Sequence, d.Digest
	return v
}
