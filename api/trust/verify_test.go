package trust_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trust/trusttest"
)

// judged runs a bundle through everything that a spoke's kernel checks, in order.
func judged(t *testing.T, f *trusttest.Fixture, raw []byte, now time.Time) *refusal.Refusal {
	t.Helper()
	d, no := bundle.Decode(raw)
	if no != nil {
		return no
	}
	a, no := trust.Authenticate(context.Background(), d, f.Root, f.Expect())
	if no != nil {
		return no
	}
	_, no = trust.Judge(context.Background(), a, now)
	return no
}

func TestAValidBundlePasses(t *testing.T) {
	f := trusttest.New(t)
	require.Nil(t, judged(t, f, f.Seal(f.Bundle(f.Order())), f.Now))
}

func TestEveryFlippedBitIsRefused(t *testing.T) {
	f := trusttest.New(t)
	raw := f.Seal(f.Bundle(f.Order()))
	for i := range raw {
		for bit := range 8 {
			flipped := bytes.Clone(raw)
			flipped[i] ^= 1 << bit
			require.NotNil(t, judged(t, f, flipped, f.Now), "byte %d bit %d: %q", i, bit, flipped[max(0, i-20):min(len(raw), i+20)])
		}
	}
}

// A tier below the content's is accepted where who runs the cluster has agreed to it, and for nothing protected.
func TestALoweredTier(t *testing.T) {
	f := trusttest.New(t)
	judge := func(change func(*bundle.Order), options ...trust.Option) *refusal.Refusal {
		o := f.OrderFor("rollback", catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout", UID: "d1"},
			catalogue.Facts{UID: "d1", Generation: 7, Replicas: 3, Revision: 2, HealthyRevision: 1}, `{}`)
		require.Equal(t, catalogue.Medium, o.Tier)
		o.Tier = catalogue.Low
		change(&o)
		d, no := bundle.Decode(f.Seal(f.Bundle(o)))
		require.Nil(t, no)
		a, no := trust.Authenticate(t.Context(), d, f.Root, f.Expect())
		require.Nil(t, no)
		v, no := trust.Judge(t.Context(), a, f.Now, options...)
		if no == nil {
			require.Equal(t, o.Tier, v.Floor())
		}
		return no
	}
	same := func(*bundle.Order) {}
	require.Nil(t, judge(same, trust.LoweredTo(catalogue.Low)))
	for name, no := range map[string]*refusal.Refusal{
		"nobody agreed":     judge(same),
		"agreed to nothing": judge(same, trust.LoweredTo("")),
		"agreed to less":    judge(same, trust.LoweredTo(catalogue.Medium)),
		"agreed to more":    judge(same, trust.LoweredTo(catalogue.High)),
		"protected":         judge(func(o *bundle.Order) { o.Observed.Protected = true }, trust.LoweredTo(catalogue.Low)),
	} {
		require.NotNil(t, no, name)
		require.Equal(t, refusal.TierTooLow, no.Reason, name)
	}
}

func TestRefusals(t *testing.T) {
	f := trusttest.New(t)
	other := trusttest.New(t)
	order := func(change func(*bundle.Order)) []byte {
		o := f.Order()
		change(&o)
		return f.Seal(f.Bundle(o))
	}
	wrapped := func(change func(*bundle.Bundle)) []byte {
		b := f.Bundle(f.Order())
		change(&b)
		return f.Seal(b)
	}
	valid := f.Seal(f.Bundle(f.Order()))
	for name, tc := range map[string]struct {
		raw    []byte
		reason refusal.Reason
	}{
		"too large":               {bytes.Repeat([]byte{' '}, bundle.MaxSize+1), refusal.TooLarge},
		"nine signatures":         {f.Seal(f.Bundle(f.Order()), f.Keys(9)...), refusal.TooManySignatures},
		"duplicate key":           {[]byte(strings.Replace(string(valid), `{"payload`, `{"payloadType":"x","payload`, 1)), refusal.Malformed},
		"unknown key":             {[]byte(strings.Replace(string(valid), `{"payload`, `{"extra":1,"payload`, 1)), refusal.Malformed},
		"case variant":            {[]byte(strings.Replace(string(valid), `"payloadType"`, `"PayloadType"`, 1)), refusal.Malformed},
		"trailing data":           {append(bytes.Clone(valid), '{', '}'), refusal.Malformed},
		"white space":             {append(bytes.Clone(valid), '\n'), refusal.Malformed},
		"deep nesting":            {[]byte(strings.Repeat("[", 100000)), refusal.Malformed},
		"duplicate key in bundle": {f.SealRaw(bundle.BundleType, duplicate(t, f)), refusal.Malformed},
		"another payload type":    {f.SealRaw(bundle.HeadType, []byte(`{}`)), refusal.PayloadTypeUnknown},
		"another gateway":         {other.Seal(f.Bundle(f.Order())), refusal.SignatureInvalid},
		"no signature":            {f.Unsigned(f.Bundle(f.Order())), refusal.SignatureInvalid},
		"junk beside a good one":  {f.Seal(f.Bundle(f.Order()), append(f.Keys(1), f.Gateway)...), refusal.SignatureInvalid},
		"the same key twice":      {f.Seal(f.Bundle(f.Order()), f.Gateway, f.Gateway), refusal.SignatureInvalid},
		"an approver's key":       {f.Seal(f.Bundle(f.Order()), f.Approvers[0]), refusal.SignatureInvalid},
		"another cluster":         {order(func(o *bundle.Order) { o.Audience.Cluster = "west" }), refusal.AudienceMismatch},
		"another cluster's UID":   {order(func(o *bundle.Order) { o.Audience.ClusterUID = "u2" }), refusal.AudienceMismatch},
		"another trust domain":    {order(func(o *bundle.Order) { o.Audience.TrustDomain = "evil" }), refusal.AudienceMismatch},
		"another epoch":           {wrapped(func(b *bundle.Bundle) { b.Epoch++ }), refusal.EpochMismatch},
		"replayed":                {wrapped(func(b *bundle.Bundle) { b.Sequence-- }), refusal.SequenceReplayed},
		"out of order":            {wrapped(func(b *bundle.Bundle) { b.Sequence++ }), refusal.SequenceOutOfOrder},
		"after another bundle":    {wrapped(func(b *bundle.Bundle) { b.Previous = "sha256:0" }), refusal.PreviousDigestWrong},
		"an older format":         {wrapped(func(b *bundle.Bundle) { b.Format = 0 }), refusal.FormatTooOld},
		"expired":                 {wrapped(func(b *bundle.Bundle) { b.NotBefore, b.Expires = f.Now.Add(-time.Minute), f.Now.Add(-time.Second) }), refusal.BundleExpired},
		"from the future":         {wrapped(func(b *bundle.Bundle) { b.NotBefore, b.Expires = f.Now.Add(time.Minute), f.Now.Add(2*time.Minute) }), refusal.BundleNotYetValid},
		"lives too long":          {wrapped(func(b *bundle.Bundle) { b.Expires = b.NotBefore.Add(time.Hour) }), refusal.BundleLivesTooLong},
		"order expired":           {order(func(o *bundle.Order) { o.ValidFrom, o.ValidUntil = f.Now.Add(-time.Hour), f.Now.Add(-time.Second) }), refusal.OrderExpired},
		"order from the future":   {order(func(o *bundle.Order) { o.ValidFrom, o.ValidUntil = f.Now.Add(time.Hour), f.Now.Add(2*time.Hour) }), refusal.OrderNotYetValid},
		"order lives too long":    {order(func(o *bundle.Order) { o.ValidUntil = o.ValidFrom.Add(25 * time.Hour) }), refusal.OrderLivesTooLong},
		"unknown action":          {order(func(o *bundle.Order) { o.Action = "exec" }), refusal.ActionUnknown},
		"kind not allowed":        {order(func(o *bundle.Order) { o.Target.Kind = "Secret" }), refusal.TargetKindNotAllowed},
		"unknown parameter":       {order(func(o *bundle.Order) { o.Parameters = []byte(`{"replicas":4,"x":1}`) }), refusal.ParametersInvalid},
		"parameter said twice":    {order(func(o *bundle.Order) { o.Parameters = []byte(`{"replicas":4,"replicas":0}`) }), refusal.ParametersInvalid},
		"target without UID":      {order(func(o *bundle.Order) { o.Target.UID = "" }), refusal.OrderInvalid},
		"deadline too long":       {order(func(o *bundle.Order) { o.DeadlineSeconds = 3600 }), refusal.OrderInvalid},
		"broader rules":           {order(func(o *bundle.Order) { o.Rules[0].ResourceNames = nil }), refusal.RulesMismatch},
		"another prediction":      {order(func(o *bundle.Order) { o.Prediction.WithinSeconds = 1 }), refusal.OrderInvalid},
		"tier below the content": {order(func(o *bundle.Order) {
			o.Parameters = []byte(`{"replicas":0}`)
			o.Prediction.Replicas = 0
		}), refusal.TierTooLow},
		"unknown tier":               {order(func(o *bundle.Order) { o.Tier = "none" }), refusal.TierTooLow},
		"high without approvers":     {order(func(o *bundle.Order) { o.Tier = catalogue.High }), refusal.ApprovalsMissing},
		"high with one approver":     {f.Seal(f.Bundle(high(f), f.Approvers[0])), refusal.ApprovalsMissing},
		"high with gateway as one":   {f.Seal(f.Bundle(high(f), f.Approvers[0], f.Gateway)), refusal.ApprovalsMissing},
		"high with the same twice":   {f.Seal(f.Bundle(high(f), f.Approvers[0], f.Approvers[0])), refusal.ApprovalsMissing},
		"low with a signature on it": {f.Seal(f.Bundle(f.Order(), f.Approvers[0])), refusal.OrderInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			no := judged(t, f, tc.raw, f.Now)
			require.NotNil(t, no)
			require.Equal(t, tc.reason, no.Reason, no.Detail)
			require.NotContains(t, no.Detail, "\n")
		})
	}
}

func high(f *trusttest.Fixture) bundle.Order {
	o := f.Order()
	o.Tier = catalogue.High
	return o
}

func TestHighTierWithAQuorumPasses(t *testing.T) {
	f := trusttest.New(t)
	require.Nil(t, judged(t, f, f.Seal(f.Bundle(high(f), f.Approvers[0], f.Approvers[1])), f.Now))
}

func duplicate(t *testing.T, f *trusttest.Fixture) []byte {
	raw, err := json.Marshal(f.Bundle(f.Order()))
	require.NoError(t, err)
	return []byte(strings.Replace(string(raw), `{"format":1`, `{"format":1,"format":1`, 1))
}

func TestRootsThatAreNoneAreRefused(t *testing.T) {
	now := time.Now()
	keys := make([]ed25519.PrivateKey, 3)
	public := make([]ed25519.PublicKey, 3)
	for i := range keys {
		public[i], keys[i], _ = ed25519.GenerateKey(nil)
	}
	draft := trust.Draft{Version: 1, Expires: now.Add(time.Hour), Threshold: map[trust.Role]int{trust.RoleRoot: 2},
		Keys: map[trust.Role][]ed25519.PublicKey{trust.RoleRoot: public}}
	good, err := trust.Sign(draft, keys[0], keys[1])
	require.NoError(t, err)
	_, err = trust.ParseRoot(good, now)
	require.NoError(t, err)
	one, err := trust.Sign(draft, keys[0])
	require.NoError(t, err)
	twice, err := trust.Sign(draft, keys[0], keys[0])
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		raw []byte
		now time.Time
	}{
		"one signature of two": {one, now},
		"one key twice":        {twice, now},
		"expired":              {good, now.Add(2 * time.Hour)},
		"threshold of zero":    {[]byte(strings.Replace(string(good), `"threshold":1`, `"threshold":0`, 1)), now},
		"changed":              {[]byte(strings.Replace(string(good), `"version":1`, `"version":2`, 1)), now},
		"no JSON":              {[]byte("root"), now},
		"too large":            {bytes.Repeat([]byte{' '}, 1<<20), now},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := trust.ParseRoot(tc.raw, tc.now)
			require.ErrorIs(t, err, trust.ErrRoot)
		})
	}
}

func FuzzDecode(f *testing.F) {
	fixture := trusttest.New(f)
	f.Add(fixture.Seal(fixture.Bundle(fixture.Order())))
	f.Add(fixture.Unsigned(fixture.Bundle(fixture.Order())))
	f.Add([]byte(`{"payloadType":"application/vnd.writ.bundle.v1+json","payload":"` + base64.StdEncoding.EncodeToString([]byte(`{}`)) + `","signatures":[]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, no := bundle.Decode(raw)
		if no != nil {
			return
		}
		again, err := json.Marshal(d.Envelope)
		require.NoError(t, err)
		require.Equal(t, string(raw), string(again), "parse then print is identical")
	})
}

func BenchmarkSign(b *testing.B) {
	f := trusttest.New(b)
	wrapped := f.Bundle(f.Order())
	for b.Loop() {
		f.Seal(wrapped)
	}
}

func BenchmarkVerify(b *testing.B) {
	f := trusttest.New(b)
	raw := f.Seal(f.Bundle(f.Order()))
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		d, no := bundle.Decode(raw)
		if no != nil {
			b.Fatal(no)
		}
		a, no := trust.Authenticate(context.Background(), d, f.Root, f.Expect())
		if no != nil {
			b.Fatal(no)
		}
		if _, no = trust.Judge(context.Background(), a, f.Now); no != nil {
			b.Fatal(no)
		}
	}
	b.ReportMetric(float64(len(raw)), "bytes/bundle")
}
