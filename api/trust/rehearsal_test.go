package trust_test

import (
	"bytes"
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/refusal"
	"github.com/writ-dev/writ/api/trust"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/credentials"
	"github.com/writ-dev/writ/spoke/journal"
)

// What may be rehearsed cannot be made into what may be executed, nor the credential of the one into that of the other: it does
// not compile, also not by conversion.
func TestARehearsalCannotBecomeAnExecution(t *testing.T) {
	executable := []reflect.Type{reflect.TypeFor[trust.Verified](), reflect.TypeFor[trust.Authentic](), reflect.TypeFor[journal.Claimed](),
		reflect.TypeFor[*bundle.Decoded](), reflect.TypeFor[credentials.Lease](), reflect.TypeFor[bundle.Bundle]()}
	rehearsed := []reflect.Type{reflect.TypeFor[trust.AuthenticRehearsal](), reflect.TypeFor[trust.Rehearsable](), reflect.TypeFor[bundle.Rehearsal](),
		reflect.TypeFor[credentials.RehearsalLease]()}
	for _, from := range rehearsed {
		for _, to := range executable {
			require.False(t, from.ConvertibleTo(to) || to.ConvertibleTo(from), "%s and %s", from, to)
		}
		for i := range from.NumMethod() {
			method := from.Method(i)
			for n := range method.Type.NumOut() {
				require.NotContains(t, executable, method.Type.Out(n), "%s.%s", from, method.Name)
			}
		}
	}
	issue, ok := reflect.TypeFor[credentials.Issuer]().MethodByName("Issue")
	require.True(t, ok)
	require.Equal(t, reflect.TypeFor[trust.Verified](), issue.Type.In(1))
}

// The bytes of the one are refused as the other, whoever signed them.
func TestTheBytesOfARehearsalAreNoBundle(t *testing.T) {
	f := trusttest.New(t)
	raw := f.SealRehearsal(f.Rehearsal(f.Order()))
	_, no := bundle.Decode(raw)
	require.Equal(t, refusal.PayloadTypeUnknown, no.Reason)
	_, no = trust.AuthenticateRehearsal(t.Context(), f.Seal(f.Bundle(f.Order())), f.Root, f.Audience)
	require.Equal(t, refusal.PayloadTypeUnknown, no.Reason)
	renamed := bytes.Replace(raw, []byte(bundle.RehearsalType), []byte(bundle.BundleType), 1)
	_, no = bundle.Decode(renamed)
	require.NotNil(t, no, "and its fields are not a bundle's")
	inside := f.Bundle(f.Order())
	inside.Order = raw // a rehearsal where the order should be
	_, no = bundle.Decode(f.Seal(inside))
	require.Equal(t, refusal.PayloadTypeUnknown, no.Reason)
}

func TestRehearsalsAreJudgedAsOrdersAre(t *testing.T) {
	f := trusttest.New(t)
	other := trusttest.New(t)
	change := func(change func(*bundle.Rehearsal)) []byte {
		r := f.Rehearsal(f.Order())
		change(&r)
		return f.SealRehearsal(r)
	}
	for name, tc := range map[string]struct {
		raw    []byte
		reason refusal.Reason
	}{
		"good":                 {f.SealRehearsal(f.Rehearsal(f.Order())), ""},
		"another gateway":      {other.SealRehearsal(f.Rehearsal(f.Order())), refusal.SignatureInvalid},
		"an approver's key":    {f.SealRehearsal(f.Rehearsal(f.Order()), f.Approvers[0]), refusal.SignatureInvalid},
		"two keys":             {f.SealRehearsal(f.Rehearsal(f.Order()), f.Gateway, f.Approvers[0]), refusal.SignatureInvalid},
		"an unknown field":     {f.SealRaw(bundle.RehearsalType, []byte(`{"format":1,"apply":true}`)), refusal.Malformed},
		"another cluster":      {change(func(r *bundle.Rehearsal) { r.Audience.Cluster = "west" }), refusal.AudienceMismatch},
		"another cluster's ID": {change(func(r *bundle.Rehearsal) { r.Audience.ClusterUID = "u2" }), refusal.AudienceMismatch},
		"another format":       {change(func(r *bundle.Rehearsal) { r.Format = 2 }), refusal.FormatTooOld},
		"lives too long":       {change(func(r *bundle.Rehearsal) { r.Expires = r.Expires.Add(time.Second) }), refusal.BundleLivesTooLong},
		"expired": {change(func(r *bundle.Rehearsal) {
			r.NotBefore, r.Expires = r.NotBefore.Add(-time.Minute), r.NotBefore.Add(-time.Second)
		}), refusal.BundleExpired},
		"from the future": {change(func(r *bundle.Rehearsal) {
			r.NotBefore, r.Expires = r.NotBefore.Add(time.Minute), r.NotBefore.Add(2*time.Minute)
		}), refusal.BundleNotYetValid},
		"an unknown action":    {change(func(r *bundle.Rehearsal) { r.Action = "exec" }), refusal.ActionUnknown},
		"another kind":         {change(func(r *bundle.Rehearsal) { r.Target.Kind = "Secret" }), refusal.TargetKindNotAllowed},
		"parameters":           {change(func(r *bundle.Rehearsal) { r.Parameters = []byte(`{"replicas":-1}`) }), refusal.ParametersInvalid},
		"parameter said twice": {change(func(r *bundle.Rehearsal) { r.Parameters = []byte(`{"replicas":4,"replicas":0}`) }), refusal.ParametersInvalid},
		"broader rules":        {change(func(r *bundle.Rehearsal) { r.Rules[0].ResourceNames = nil }), refusal.RulesMismatch},
		"tier below content":   {change(func(r *bundle.Rehearsal) { r.Observed.Protected = true }), refusal.TierTooLow},
		"a long deadline":      {change(func(r *bundle.Rehearsal) { r.DeadlineSeconds = 1 << 20 }), refusal.OrderInvalid},
		"no name":              {change(func(r *bundle.Rehearsal) { r.Target.UID = "" }), refusal.OrderInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			a, no := trust.AuthenticateRehearsal(context.Background(), tc.raw, f.Root, f.Audience)
			if no == nil {
				_, no = trust.JudgeRehearsal(a, f.Now)
			}
			if tc.reason == "" {
				require.Nil(t, no)
				return
			}
			require.NotNil(t, no)
			require.Equal(t, tc.reason, no.Reason, no.Detail)
		})
	}
}

func TestEveryBitOfARehearsalCounts(t *testing.T) {
	f := trusttest.New(t)
	raw := f.SealRehearsal(f.Rehearsal(f.Order()))
	for i := range raw {
		for bit := range 8 {
			flipped := bytes.Clone(raw)
			flipped[i] ^= 1 << bit
			_, no := trust.AuthenticateRehearsal(context.Background(), flipped, f.Root, f.Audience)
			require.NotNil(t, no, "byte %d bit %d", i, bit)
		}
	}
}
