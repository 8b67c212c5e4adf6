package vaultauth_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/writ-dev/writ/api/bundle"
	"github.com/writ-dev/writ/api/catalogue"
	"github.com/writ-dev/writ/api/trust/trusttest"
	"github.com/writ-dev/writ/internal/identity"
)

func TestABundleBuysOneTokenForItsCredentialAlone(t *testing.T) {
	s := newScene(t)
	o := s.order("a")
	answer, err := s.login(t.Context(), s.Seal(s.Bundle(o)), s.east(t))
	require.NoError(t, err)
	require.False(t, answer.IsError(), "%v", answer)
	auth := answer.Auth
	require.Equal(t, []string{"writ-grant-east.bundle-a"}, auth.Policies)
	require.True(t, auth.NoDefaultPolicy)
	require.Equal(t, logical.TokenTypeBatch, auth.TokenType, "nothing of it is stored")
	require.Equal(t, time.Duration(o.DeadlineSeconds)*time.Second+time.Second, auth.TTL, "it counts from the beginning of this second")
	require.Equal(t, auth.TTL, auth.ExplicitMaxTTL)
	require.False(t, auth.Renewable)
	require.Zero(t, auth.NumUses, "a single use would revoke the lease at once")
	require.Empty(t, auth.Alias.Metadata, "an alias outlives the grant")

	role := s.door.at("kubernetes-east/roles/writ-bundle-a")
	var made struct{ Rules []rbacv1.PolicyRule }
	require.NoError(t, json.Unmarshal([]byte(role["generated_role_rules"].(string)), &made))
	require.Equal(t, o.Rules, made.Rules, "exactly the rules of the order")
	require.Equal(t, []any{"shop"}, role["allowed_kubernetes_namespaces"])
	require.Equal(t, "Role", role["kubernetes_role_type"])

	policy := s.door.at("sys/policies/acl/writ-grant-east.bundle-a")["policy"].(string)
	require.Contains(t, policy, `path "kubernetes-east/creds/writ-bundle-a" {`)
	require.Contains(t, policy, `allowed_parameters = { "kubernetes_namespace" = ["shop"], "ttl" = ["600s"] }`)
	require.Equal(t, 1, strings.Count(policy, "path "), policy)
	require.NotContains(t, policy, "roles/")
}

func TestALoginMayAskForLessTime(t *testing.T) {
	s := newScene(t)
	for asked, want := range map[int]time.Duration{7: 7 * time.Second, 0: 30 * time.Second, 3600: 30 * time.Second, -5: 30 * time.Second} {
		o := s.order(fmt.Sprintf("t%d", asked+5))
		answer, err := s.do(t.Context(), logical.UpdateOperation, "login", map[string]any{"bundle": string(s.Seal(s.Bundle(o))), "ttl": asked}, s.east(t)...)
		if asked < 0 {
			require.True(t, err != nil || answer.IsError(), "a negative time")
			continue
		}
		require.NoError(t, err)
		require.False(t, answer.IsError(), "%v", answer)
		require.Equal(t, want+time.Second, answer.Auth.TTL)
	}
}

func TestABundleIsUsedOnce(t *testing.T) {
	s := newScene(t)
	s.slowly = 5 * time.Millisecond
	raw, client := s.Seal(s.Bundle(s.order("a"))), s.east(t)
	var wait sync.WaitGroup
	var passed, used atomic.Int32
	for range 16 {
		wait.Go(func() {
			answer, err := s.login(t.Context(), raw, client)
			switch {
			case err == nil && answer.Auth != nil:
				passed.Add(1)
			case err == nil && strings.Contains(answer.Error().Error(), "used at"):
				used.Add(1)
			}
		})
	}
	wait.Wait()
	require.EqualValues(t, 1, passed.Load())
	require.EqualValues(t, 15, used.Load())

	s.restart(t)
	s.now = s.now.Add(4 * time.Minute)
	answer, err := s.login(t.Context(), raw, client)
	require.NoError(t, err)
	require.ErrorContains(t, answer.Error(), "was used at", "a restart forgets nothing")
}

// Whoever has the gateway's key can wrap an order in another bundle. The order, which approvers signed, still counts once.
func TestAnOrderIsUsedOnceWhateverBundleItComesIn(t *testing.T) {
	s := newScene(t)
	o := s.order("a")
	b := s.Bundle(o)
	answer, err := s.login(t.Context(), s.Seal(b), s.east(t))
	require.NoError(t, err)
	require.NotNil(t, answer.Auth)
	b.ID = "bundle-b"
	before := s.everything(t)
	answer, err = s.login(t.Context(), s.Seal(b), s.east(t))
	require.NoError(t, err)
	require.ErrorContains(t, answer.Error(), "its order was used")
	require.ElementsMatch(t, before, s.everything(t))
}

func TestRefusals(t *testing.T) {
	s := newScene(t)
	stranger, err := identity.LoadCA(t.TempDir(), domain, s.now)
	require.NoError(t, err)
	other := trusttest.New(t)
	changed := func(change func(*bundle.Order)) []byte {
		o := s.order("x")
		change(&o)
		return s.Seal(s.Bundle(o))
	}
	wrapped := func(change func(*bundle.Bundle)) []byte {
		b := s.Bundle(s.order("x"))
		change(&b)
		return s.Seal(b)
	}
	high := func() bundle.Order {
		o := s.OrderFor("scale", catalogue.Target{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "checkout", UID: "d1"},
			catalogue.Facts{UID: "d1", Replicas: 3, ReadyReplicas: 3}, `{"replicas":0}`)
		require.Equal(t, catalogue.High, o.Tier)
		return o
	}
	called := func(o bundle.Order, tier catalogue.Tier) bundle.Order { o.Tier = tier; return o }
	valid, east := s.Seal(s.Bundle(s.order("x"))), s.east(t)
	s.write(t, "clusters/west", map[string]any{"cluster_uid": "elsewhere", "mount": "kubernetes-west"})
	for name, try := range map[string]struct {
		raw    []byte
		client []*x509.Certificate
		says   string
	}{
		"no certificate":          {valid, nil, "showed no certificate"},
		"another cluster's spoke": {valid, chain(t, s.ca, clusterID(t, "west"), s.now), "AudienceMismatch"},
		"the hub":                 {valid, chain(t, s.ca, identity.Hub(domain), s.now), "is no cluster"},
		"another CA":              {valid, chain(t, stranger, clusterID(t, "east"), s.now), "unknown authority"},
		"an expired SVID":         {valid, chain(t, s.ca, clusterID(t, "east"), s.now.Add(-2*time.Hour)), "expired"},
		"a cluster not set up":    {valid, chain(t, s.ca, clusterID(t, "north"), s.now), "writ vault setup north"},
		"no bundle":               {nil, east, "Malformed"},
		"too large":               {bytes.Repeat([]byte{' '}, bundle.MaxSize+1), east, "TooLarge"},
		"nobody signed":           {s.Unsigned(s.Bundle(s.order("x"))), east, "SignatureInvalid"},
		"another gateway":         {other.Seal(s.Bundle(s.order("x"))), east, "SignatureInvalid"},
		"an approver as gateway":  {s.Seal(s.Bundle(s.order("x")), s.Approvers[0]), east, "SignatureInvalid"},
		"another cluster's UID":   {changed(func(o *bundle.Order) { o.Audience.ClusterUID = "other" }), east, "AudienceMismatch"},
		"another trust domain":    {changed(func(o *bundle.Order) { o.Audience.TrustDomain = "other" }), east, "AudienceMismatch"},
		"lives six minutes":       {wrapped(func(b *bundle.Bundle) { b.Expires = b.NotBefore.Add(6 * time.Minute) }), east, "BundleLivesTooLong"},
		"expired":                 {wrapped(func(b *bundle.Bundle) { b.NotBefore, b.Expires = s.now.Add(-time.Minute), s.now.Add(-time.Second) }), east, "BundleExpired"},
		"ten years ahead": {wrapped(func(b *bundle.Bundle) {
			b.NotBefore = s.now.AddDate(10, 0, 0)
			b.Expires = b.NotBefore.Add(time.Minute)
		}), east, "BundleNotYetValid"},
		"an order past its time":    {changed(func(o *bundle.Order) { o.ValidFrom, o.ValidUntil = s.now.Add(-time.Hour), s.now.Add(-time.Second) }), east, "OrderExpired"},
		"wider rules":               {changed(func(o *bundle.Order) { o.Rules[0].ResourceNames = nil }), east, "RulesMismatch"},
		"a longer deadline":         {changed(func(o *bundle.Order) { o.DeadlineSeconds = 3600 }), east, "OrderInvalid"},
		"called low, and is high":   {s.Seal(s.Bundle(called(high(), catalogue.Low))), east, "TierTooLow"},
		"high, nobody approved":     {s.Seal(s.Bundle(high())), east, "ApprovalsMissing"},
		"high, one approver":        {s.Seal(s.Bundle(high(), s.Approvers[0])), east, "ApprovalsMissing"},
		"high, one approver twice":  {s.Seal(s.Bundle(high(), s.Approvers[0], s.Approvers[0])), east, "ApprovalsMissing"},
		"high, gateway and one":     {s.Seal(s.Bundle(high(), s.Approvers[0], s.Gateway)), east, "ApprovalsMissing"},
		"an ID that is a path":      {wrapped(func(b *bundle.Bundle) { b.ID = "../../config" }), east, "no name of a role"},
		"an ID that is a pattern":   {wrapped(func(b *bundle.Bundle) { b.ID = "a*" }), east, "no name of a role"},
		"an ID in capitals":         {wrapped(func(b *bundle.Bundle) { b.ID = "BUNDLE" }), east, "no name of a role"},
		"an ID that is a template":  {wrapped(func(b *bundle.Bundle) { b.ID = "{{identity.entity.id}}" }), east, "no name of a role"},
		"a flipped bit in the text": {bytes.Replace(valid, []byte(`"sig":"`), []byte(`"sig":"A`), 1), east, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			before := s.everything(t)
			answer, err := s.login(t.Context(), try.raw, try.client)
			require.NoError(t, err)
			require.True(t, answer.IsError(), "%v", answer)
			require.Nil(t, answer.Auth)
			require.ErrorContains(t, answer.Error(), try.says)
			require.NotContains(t, answer.Error().Error(), "\n")
			require.ElementsMatch(t, before, s.everything(t), "nothing was written")
		})
	}
	answer, err := s.login(t.Context(), valid, east)
	require.NoError(t, err)
	require.NotNil(t, answer.Auth, "the valid one is still good")
	answer, err = s.login(t.Context(), s.Seal(s.Bundle(high(), s.Approvers[0], s.Approvers[2])), east)
	require.NoError(t, err)
	require.NotNil(t, answer.Auth, "and so is a quorum's")
}

func TestATargetOutsideAllNamespacesIsRefused(t *testing.T) {
	s := newScene(t)
	o := s.OrderFor("cordon", catalogue.Target{APIVersion: "v1", Kind: "Node", Name: "n1", UID: "n"}, catalogue.Facts{UID: "n"}, `{}`)
	var approvers = s.Approvers[:0]
	if o.Tier == catalogue.High {
		approvers = s.Approvers[:2]
	}
	answer, err := s.login(t.Context(), s.Seal(s.Bundle(o, approvers...)), s.east(t))
	require.NoError(t, err)
	require.ErrorContains(t, answer.Error(), "no rights in a whole cluster")
}

func TestAClockThatIsTenMinutesOffRefuses(t *testing.T) {
	for off, says := range map[time.Duration]string{10 * time.Minute: "BundleExpired", -10 * time.Minute: "not yet valid"} {
		s := newScene(t)
		s.now = s.now.Add(off)
		answer, err := s.login(t.Context(), s.Seal(s.Bundle(s.order("a"))), chain(t, s.ca, clusterID(t, "east"), s.now))
		require.NoError(t, err)
		require.ErrorContains(t, answer.Error(), says)
		require.Empty(t, s.door.paths())
	}
}

func TestWhatCannotBeWrittenDownIsNotGranted(t *testing.T) {
	s := newScene(t)
	raw, client := s.Seal(s.Bundle(s.order("a"))), s.east(t)
	s.storage.FailPut(true)
	answer, err := s.login(t.Context(), raw, client)
	require.Error(t, err)
	require.Nil(t, answer)
	require.Empty(t, s.door.paths())
	s.storage.FailPut(false)
	s.storage.FailGet(true)
	answer, err = s.login(t.Context(), raw, client)
	require.Error(t, err)
	require.Nil(t, answer)
	s.storage.FailGet(false)
	answer, err = s.login(t.Context(), raw, client)
	require.NoError(t, err)
	require.NotNil(t, answer.Auth, "full storage used nothing up")
}

func TestABundleForWhichNoRoleCouldBeMadeIsNotUsedUp(t *testing.T) {
	s := newScene(t)
	raw, client := s.Seal(s.Bundle(s.order("a"))), s.east(t)
	s.door.breakIt(true)
	answer, err := s.login(t.Context(), raw, client)
	require.ErrorContains(t, err, "making the role")
	require.Nil(t, answer)
	s.door.breakIt(false)
	answer, err = s.login(t.Context(), raw, client)
	require.NoError(t, err)
	require.NotNil(t, answer.Auth)
	answer, err = s.login(t.Context(), raw, client)
	require.NoError(t, err)
	require.ErrorContains(t, answer.Error(), "was used")
}

func TestTheHandsAreLentToTheMethodAlone(t *testing.T) {
	s := newScene(t)
	_, err := s.login(t.Context(), s.Seal(s.Bundle(s.order("a"))), s.east(t))
	require.NoError(t, err)
	_, err = s.login(t.Context(), s.Seal(s.Bundle(s.order("b"))), s.east(t))
	require.NoError(t, err)
	require.Equal(t, 1, s.door.logins, "one login serves many")
	for _, secret := range []string{"", "guess"} {
		answer, err := s.do(t.Context(), logical.UpdateOperation, "hands", map[string]any{"cluster": "east", "secret": secret}, s.east(t)...)
		require.True(t, errors.Is(err, logical.ErrPermissionDenied), "%v %v", answer, err)
	}
}

func TestWhatIsOverIsSweptAway(t *testing.T) {
	s := newScene(t)
	client := s.east(t)
	sweep := func() {
		_, err := s.do(t.Context(), logical.RollbackOperation, "", nil)
		require.True(t, err == nil || errors.Is(err, logical.ErrUnsupportedOperation), "%v", err)
	}
	used := func() []string {
		keys, err := logical.CollectKeysWithPrefix(t.Context(), s.storage, "used/")
		require.NoError(t, err)
		return keys
	}
	login := func(name string) {
		answer, err := s.login(t.Context(), s.Seal(s.Bundle(s.order(name))), client)
		require.NoError(t, err)
		require.NotNil(t, answer.Auth)
	}
	login("a")
	sweep()
	require.Len(t, s.door.paths(), 2, "a grant that lives is left alone")
	s.now = s.now.Add(40 * time.Second)
	sweep()
	require.Empty(t, s.door.paths(), "role and policy are gone")
	require.Equal(t, []string{"kubernetes-east/creds/writ-bundle-a"}, s.door.revoked, "and what Vault could not end by itself")
	require.Len(t, used(), 2, "what is used stays so")

	login("b")
	s.restart(t)
	s.now = s.now.Add(40 * time.Second)
	sweep()
	require.Empty(t, s.door.paths(), "another process's too")
	require.Len(t, used(), 4)

	s.now = s.now.Add(bundle.OrderLife + 2*time.Hour)
	sweep()
	require.Empty(t, used(), "what no judge would take any more is forgotten")
	require.Contains(t, s.everything(t), "config")
}

// A cluster is set up for the other way to issue while a grant is out: set-up has taken the engine's roles away, and the hands may reach
// into it no more. What is left of the grant goes all the same.
func TestAGrantIsClearedAfterItsClusterIsIssuedForInAnotherWay(t *testing.T) {
	s := newScene(t)
	answer, err := s.login(t.Context(), s.Seal(s.Bundle(s.order("a"))), s.east(t))
	require.NoError(t, err)
	require.False(t, answer.IsError(), "%v", answer)
	s.write(t, "clusters/east", map[string]any{"cluster_uid": s.Audience.ClusterUID, "audience": "spiffe://" + domain.Name() + "/cluster/east"})
	s.door.forbids = "kubernetes-east/"
	answer, err = s.login(t.Context(), s.Seal(s.Bundle(s.order("b"))), s.east(t))
	require.NoError(t, err)
	require.False(t, answer.IsError(), "%v", answer)
	role := s.door.at("identity/oidc/role/writ-grant-east.bundle-b")
	require.Regexp(t, `^{"writ_account":"[0-9a-f]{16}\.scale\.deployments\.checkout"}$`, role["template"])
	delete(role, "template")
	require.Equal(t, map[string]any{"key": "writ-east", "client_id": "spiffe://" + domain.Name() + "/cluster/east", "ttl": "60s"}, role)
	policy := s.door.at("sys/policies/acl/writ-grant-east.bundle-b")["policy"].(string)
	require.Contains(t, policy, `path "identity/oidc/token/writ-grant-east.bundle-b" {`)
	require.Equal(t, 1, strings.Count(policy, "path "), policy)

	s.now = s.now.Add(time.Minute)
	_, err = s.method.HandleRequest(t.Context(), &logical.Request{Operation: logical.RollbackOperation, Storage: s.storage})
	require.NoError(t, err)
	require.Equal(t, []string{"kubernetes-east/roles/writ-bundle-a"}, s.door.paths(), "what set-up takes away with the engine")
}

func TestConfigurationsThatCannotBeUsedAreRefused(t *testing.T) {
	s := newScene(t)
	answer, err := s.do(t.Context(), logical.ReadOperation, "config", nil)
	require.NoError(t, err)
	good := answer.Data
	for name, change := range map[string]map[string]any{
		"no trust root": {"trust_root": ""}, "a trust root that nobody signed": {"trust_root": strings.Replace(good["trust_root"].(string), `"version":1`, `"version":2`, 1)},
		"another trust domain": {"trust_domain": "other.writ.dev"}, "no authorities": {"authorities": ""},
		"no TLS": {"vault_address": "http://127.0.0.1:8200"}, "no CA of Vault": {"vault_ca": "none"},
	} {
		t.Run(name, func(t *testing.T) {
			data := map[string]any{}
			for _, from := range []map[string]any{good, change} {
				for key, value := range from {
					data[key] = value
				}
			}
			answer, err := s.do(t.Context(), logical.UpdateOperation, "config", data)
			require.NoError(t, err)
			require.True(t, answer.IsError())
			after, err := s.do(t.Context(), logical.ReadOperation, "config", nil)
			require.NoError(t, err)
			require.Equal(t, good, after.Data)
		})
	}
	for name, data := range map[string]map[string]any{
		"clusters/up": {"mount": "kubernetes-up"}, "clusters/down": {"cluster_uid": "x", "mount": "a b"},
		"clusters/side": {"cluster_uid": "x", "mount": "k", "lowered_to": "high"}, "clusters/-": {"cluster_uid": "x", "mount": "k"},
	} {
		answer, err := s.do(t.Context(), logical.UpdateOperation, name, data)
		require.NoError(t, err)
		require.True(t, answer.IsError(), name)
	}
	names, err := s.do(t.Context(), logical.ListOperation, "clusters/", nil)
	require.NoError(t, err)
	require.True(t, slices.Equal([]string{"east"}, names.Data["keys"].([]string)), "%v", names.Data)
}
