// Package trusttest makes real trust roots, orders and bundles for tests: nothing in it is faked, only the keys are new.
package trusttest

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/trust"
)

// Fixture is a trust domain with one gateway key and a quorum of two of three approvers.
type Fixture struct {
	t          testing.TB
	Now        time.Time
	Audience   bundle.Audience
	Root       *trust.Root
	Gateway    *bundle.Key
	GatewayKey ed25519.PrivateKey
	Approvers  []*bundle.Key
	Sequence   uint64 // of the last bundle taken
	Previous   string // its digest
	Epoch      uint64
}

// New makes a fixture for a cluster "east".
func New(t testing.TB) *Fixture {
	t.Helper()
	f := &Fixture{t: t, Now: time.Now().UTC().Truncate(time.Second), Epoch: 1, Sequence: 41, Previous: bundle.Digest([]byte("before")),
		Audience: bundle.Audience{TrustDomain: "test.writ.dev", Cluster: "east", ClusterUID: "0a1b"}}
	rootPublic, rootKeys := keys(t, 3)
	gatewayPublic, gatewayKeys := keys(t, 1)
	approverPublic, approverKeys := keys(t, 3)
	raw, err := trust.Sign(trust.Draft{
		Version: 1, Expires: f.Now.Add(24 * time.Hour),
		Threshold: map[trust.Role]int{trust.RoleRoot: 2, trust.RoleApprovers: 2},
		Keys: map[trust.Role][]ed25519.PublicKey{trust.RoleRoot: rootPublic, trust.RoleGateway: gatewayPublic,
			trust.RoleApprovers: approverPublic},
	}, rootKeys[0], rootKeys[1])
	require.NoError(t, err)
	f.Root, err = trust.ParseRoot(raw, f.Now)
	require.NoError(t, err)
	f.GatewayKey = gatewayKeys[0]
	f.Gateway = Signer(t, gatewayKeys[0])
	for _, key := range approverKeys {
		f.Approvers = append(f.Approvers, Signer(t, key))
	}
	return f
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
