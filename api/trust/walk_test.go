package trust_test

import (
	"bytes"
	"crypto/ed25519"
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

// Each bad successor is refused, and the trust root stays what it was.
func TestSuccessorsThatAreNoneAreRefused(t *testing.T) {
	f := trusttest.New(t)
	others := trusttest.Private(t, 3)
	keys := f.RootPrivate
	sign := func(change func(*trust.Draft), signers ...ed25519.PrivateKey) []byte {
		draft := f.Draft(2)
		change(&draft)
		raw, err := trust.Sign(draft, signers...)
		require.NoError(t, err)
		return raw
	}
	same := func(*trust.Draft) {}
	good := sign(same, keys[0], keys[1])
	_, err := f.Root.Walk([][]byte{good}, f.Now)
	require.NoError(t, err)
	before := f.Root.Keep()
	for name, tc := range map[string]struct {
		chain [][]byte
		says  string
	}{
		"no successor":                {nil, "no successor"},
		"one is left out":             {[][]byte{sign(func(d *trust.Draft) { d.Version = 3 }, keys[0], keys[1])}, "none may be left out"},
		"the same version":            {[][]byte{sign(func(d *trust.Draft) { d.Version = 1 }, keys[0], keys[1])}, "does not follow"},
		"the very same":               {[][]byte{f.Root.Bytes()}, "does not follow"},
		"version 0":                   {[][]byte{sign(func(d *trust.Draft) { d.Version = 0 }, keys[0], keys[1])}, "version 0"},
		"one comes twice":             {[][]byte{good, good}, "does not follow"},
		"signed by one key":           {[][]byte{sign(same, keys[0])}, "ignature"},
		"signed by the gateway":       {[][]byte{sign(same, keys[0], f.GatewayKey)}, "ignature"},
		"signed by the old keys only": {[][]byte{sign(func(d *trust.Draft) { d.Keys[trust.RoleRoot] = trusttest.Public(others) }, keys[0], keys[1])}, "ignature"},
		"signed by the new keys only": {[][]byte{sign(func(d *trust.Draft) { d.Keys[trust.RoleRoot] = trusttest.Public(others) }, others[0], others[1])}, "not signed by 2 root keys of version 1"},
		"new keys, one old one":       {[][]byte{sign(func(d *trust.Draft) { d.Keys[trust.RoleRoot] = trusttest.Public(others) }, others[0], others[1], keys[0])}, "not signed by 2 root keys of version 1"},
		"lowers its own threshold": {[][]byte{sign(func(d *trust.Draft) { d.Threshold[trust.RoleRoot] = 1 }, keys[0])},
			"not signed by 2 root keys of version 1"},
		"expired":                     {[][]byte{sign(func(d *trust.Draft) { d.Expires = f.Now.Add(-time.Second) }, keys[0], keys[1])}, "expired"},
		"threshold of zero":           {[][]byte{[]byte(strings.Replace(string(good), `"threshold":1`, `"threshold":0`, 1))}, "threshold below 1"},
		"a role is missing":           {[][]byte{[]byte(strings.Replace(string(good), `"receipts":`, `"receipt":`, 1))}, "missing"},
		"a key in two roles":          {[][]byte{sign(func(d *trust.Draft) { d.Keys[trust.RoleApprovers] = d.Keys[trust.RoleGateway] }, keys[0], keys[1])}, "a key of its own"},
		"a person named twice":        {[][]byte{sign(func(d *trust.Draft) { d.Approvers[1].Key = d.Approvers[0].Key }, keys[0], keys[1])}, "a key of its own"},
		"lists a key that it revokes": {[][]byte{sign(func(d *trust.Draft) { d.Revoked = []string{keyID(t, d.Keys[trust.RoleGateway][0])} }, keys[0], keys[1])}, "revokes it"},
		"another kind of metadata":    {[][]byte{[]byte(strings.Replace(string(good), `"_type":"root"`, `"_type":"targets"`, 1))}, "type"},
		"changed after signing":       {[][]byte{[]byte(strings.Replace(string(good), `"x-writ-owner":"ann"`, `"x-writ-owner":"eve"`, 1))}, "trust root"},
		"too large":                   {[][]byte{append(bytes.Clone(good), bytes.Repeat([]byte{' '}, 64<<10)...)}, "bytes are more than"},
		"no JSON":                     {[][]byte{[]byte("root")}, "trust root"},
	} {
		t.Run(name, func(t *testing.T) {
			next, err := f.Root.Walk(tc.chain, f.Now)
			require.ErrorIs(t, err, trust.ErrRoot)
			require.ErrorContains(t, err, tc.says)
			require.Nil(t, next)
			require.Equal(t, before, f.Root.Keep(), "nothing changed")
		})
	}
}

// A cluster that was away takes a whole chain, over versions that have expired meanwhile, from one that has.
func TestWalkingAChain(t *testing.T) {
	f := trusttest.New(t)
	later := f.Now.Add(72 * time.Hour)
	fresh := trusttest.Private(t, 3)
	second := f.Draft(2)
	second.Keys[trust.RoleRoot] = trusttest.Public(fresh)
	third := second
	third.Version, third.Expires = 3, later.Add(time.Hour)
	chain := [][]byte{f.Sign(second, append(fresh[:2:2], f.RootPrivate[:2]...)...), f.Sign(third, fresh[1:]...)}

	_, err := trust.ParseRoot(f.Root.Bytes(), later)
	require.ErrorContains(t, err, "expired")
	_, err = f.Root.Walk(chain[:1], later)
	require.ErrorContains(t, err, "version 2 expired", "the last one must count")
	root, err := f.Root.Walk(chain, later)
	require.NoError(t, err)
	require.EqualValues(t, 3, root.Version())
	_, err = root.Walk(chain[:1], later)
	require.ErrorIs(t, err, trust.ErrRoot, "it never goes back")

	again, err := trust.Recall(root.Keep())
	require.NoError(t, err)
	require.True(t, again.Same(root))
	require.Equal(t, root.Keep(), again.Keep())
}

// What was signed in time counts after a change of keys, for as long as it lives and no longer; nothing else does.
func TestKeysOverlap(t *testing.T) {
	f := trusttest.New(t)
	low, high := f.Order(), high(f)
	sealed := f.Seal(f.Bundle(low))
	approved := f.Bundle(high, f.Approvers[0], f.Approvers[1])
	next := trusttest.Private(t, 2)
	draft := f.Draft(2)
	draft.Keys[trust.RoleGateway] = trusttest.Public(next[:1])
	draft.Approvers[0].Key = next[1].Public().(ed25519.PublicKey)
	gateway, approver := trusttest.Signer(t, next[0]), f.Approver(draft.Approvers[0], next[1])
	change := f.Now.Add(time.Minute)
	walk := func(d trust.Draft) *trust.Root {
		d.Expires = f.Now.Add(72 * time.Hour)
		root, err := f.Root.Walk([][]byte{f.Sign(d)}, change)
		require.NoError(t, err)
		return root
	}
	root := walk(draft)
	revoking := draft
	for _, key := range []*bundle.Key{f.Gateway, f.Approvers[0]} {
		id, _ := key.KeyID()
		revoking.Revoked = append(revoking.Revoked, id)
	}
	revoked := walk(revoking)

	at := func(b bundle.Bundle, begins time.Time, signers ...*bundle.Key) []byte {
		b.NotBefore, b.Expires = begins, begins.Add(bundle.MaxBundleLife)
		return f.Seal(b, signers...)
	}
	ordered := func(o bundle.Order, begins time.Time) bundle.Order {
		o.ValidFrom, o.ValidUntil = begins, begins.Add(bundle.MaxOrderLife)
		return o
	}
	late := change.Add(2 * time.Hour)
	for name, tc := range map[string]struct {
		root   *trust.Root
		raw    []byte
		now    time.Time
		reason refusal.Reason // empty: it may be executed
	}{
		"the old key before the change":         {f.Root, sealed, f.Now, ""},
		"the old key, signed in time":           {root, sealed, change.Add(time.Minute), ""},
		"the old key, recalled":                 {recalled(t, root), sealed, change.Add(time.Minute), ""},
		"the old key, after the bundle's life":  {root, sealed, f.Now.Add(bundle.MaxBundleLife + time.Second), refusal.BundleExpired},
		"the old key, within the clocks' skew":  {root, at(f.Bundle(low), change.Add(bundle.Skew), f.Gateway), change.Add(time.Minute), ""},
		"the old key, signed after":             {root, at(f.Bundle(low), change.Add(bundle.Skew+time.Second), f.Gateway), change.Add(time.Minute), refusal.KeyRetired},
		"the old key, revoked":                  {revoked, sealed, change, refusal.KeyRetired},
		"the new key":                           {root, at(f.Bundle(low), change, gateway), change, ""},
		"the new key, before the change":        {f.Root, at(f.Bundle(low), change, gateway), change, refusal.SignatureInvalid},
		"the trust root has expired":            {f.Root, at(f.Bundle(ordered(low, f.Now.Add(25*time.Hour))), f.Now.Add(25*time.Hour)), f.Now.Add(25 * time.Hour), refusal.TrustRootExpired},
		"an approver who left, signed in time":  {root, f.Seal(approved, f.Gateway), change, ""},
		"an approver who left, hours later":     {root, at(f.Bundle(ordered(high, f.Now), f.Approvers[0], f.Approvers[1]), late, gateway), late, ""},
		"an approver who left, a newer order":   {root, at(f.Bundle(ordered(high, late), f.Approvers[0], f.Approvers[1]), late, gateway), late, refusal.KeyRetired},
		"an approver who was revoked":           {revoked, at(f.Bundle(ordered(high, f.Now), f.Approvers[0], f.Approvers[1]), late, gateway), late, refusal.KeyRetired},
		"approvers of two trust roots together": {root, at(f.Bundle(ordered(high, f.Now), f.Approvers[0], approver), late, gateway), late, refusal.ApprovalsMissing},
		"the new approver":                      {root, at(f.Bundle(ordered(high, late), f.Approvers[1], approver), late, gateway), late, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d, no := bundle.Decode(tc.raw)
			require.Nil(t, no)
			a, no := trust.Authenticate(t.Context(), d, tc.root, f.Expect())
			if no == nil {
				_, no = trust.Judge(t.Context(), a, tc.now)
			}
			if tc.reason == "" {
				require.Nil(t, no)
				return
			}
			require.NotNil(t, no)
			require.Equal(t, tc.reason, no.Reason, no.Detail)
		})
	}

	rehearsal := f.SealRehearsal(f.Rehearsal(low))
	a, no := trust.AuthenticateRehearsal(t.Context(), rehearsal, root, f.Audience)
	require.Nil(t, no)
	_, no = trust.JudgeRehearsal(a, change)
	require.Nil(t, no)
	a, no = trust.AuthenticateRehearsal(t.Context(), rehearsal, revoked, f.Audience)
	require.Nil(t, no)
	_, no = trust.JudgeRehearsal(a, change)
	require.Equal(t, refusal.KeyRetired, no.Reason)

	head := f.SealHead(bundle.Head{Audience: f.Audience, Epoch: 1, Sequence: 1, At: f.Now})
	_, no = trust.VerifyHead(t.Context(), head, root, change)
	require.Nil(t, no)
	for name, tc := range map[string]struct {
		root *trust.Root
		raw  []byte
		now  time.Time
	}{
		"revoked":       {revoked, head, change},
		"long after":    {root, head, change.Add(bundle.MaxBundleLife + time.Second)},
		"signed after":  {root, f.SealHead(bundle.Head{Audience: f.Audience, At: change.Add(time.Minute)}), change.Add(time.Minute)},
		"by a stranger": {root, trusttest.New(t).SealHead(bundle.Head{Audience: f.Audience, At: change}), change},
	} {
		_, no := trust.VerifyHead(t.Context(), tc.raw, tc.root, tc.now)
		require.NotNil(t, no, name)
	}
	require.NotEqual(t, catalogue.High, low.Tier)
}

func recalled(t *testing.T, root *trust.Root) *trust.Root {
	again, err := trust.Recall(root.Keep())
	require.NoError(t, err)
	return again
}

func keyID(t *testing.T, public ed25519.PublicKey) string {
	id, err := trust.KeyID(public)
	require.NoError(t, err)
	return id
}
