package enrol

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/writ-dev/writ/api/v1alpha1"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/hub/enrol/enroltest"
	"github.com/writ-dev/writ/internal/identity"
)

const issuer = enroltest.Issuer

// workload is the API server of the clusters of these tests.
var workload = sync.OnceValue(func() enroltest.Server { return enroltest.New("workload") })

// spec is what a registration declares of a cluster whose API server is the one of these tests.
func spec(t testing.TB, name, token string, at time.Time) v1alpha1.ClusterSpec {
	return v1alpha1.ClusterSpec{Join: v1alpha1.JoinToken{SHA256: hash(token), IssuedAt: stampOf(at)},
		Workload: &v1alpha1.WorkloadPin{UID: "uid-of-" + name, Issuer: issuer, JWKS: workload().JWKS()}}
}

// The second factor is judged by what was pinned, and by nothing that the token brings along. A refusal burns nothing.
func TestATokenOfAnotherServiceAccountLetsNobodyIn(t *testing.T) {
	w := newWorld(t)
	w.register(t, "east", "secret")
	here, other := workload(), enroltest.New("workload") // the same key ID, another key
	with := func(key string, value any) func(map[string]any) {
		return func(said map[string]any) { said[key] = value }
	}
	good := here.Token(enroltest.Claims())
	parts := strings.Split(good, ".")
	before := w.all(t)
	n := 0
	for name, c := range map[string]struct{ token, says string }{
		"none":                     {"", "showed no token"},
		"no JWT":                   {"x", "no JWT"},
		"too long":                 {strings.Repeat("x", maxAccountToken+1), "at most"},
		"another cluster's key":    {other.Token(enroltest.Claims()), "signature of the ServiceAccount token is wrong"},
		"a key that is not pinned": {enroltest.New("another").Token(enroltest.Claims()), "not pinned"},
		"no key ID":                {enroltest.Server{Key: here.Key}.Token(enroltest.Claims()), "not pinned"},
		"another issuer":           {here.Token(enroltest.Claims(with("iss", "https://other.example.org"))), "another issuer"},
		"another audience":         {here.Token(enroltest.Claims(with("aud", []string{"https://kubernetes.default.svc"}))), "audience"},
		"more audiences":           {here.Token(enroltest.Claims(with("aud", []string{identity.EnrolAudience, "more"}))), "audience"},
		"no audience":              {here.Token(enroltest.Claims(with("aud", nil))), "cannot be read"},
		"another account":          {here.Token(enroltest.Claims(with("sub", "system:serviceaccount:shop:default"))), "is not of"},
		"another account inside":   {here.Token(enroltest.Claims(with("kubernetes.io", map[string]any{"namespace": "shop"}))), "is not of"},
		"expired":                  {here.Token(enroltest.Claims(with("iat", time.Now().Add(-2*time.Hour).Unix()), with("exp", time.Now().Add(-time.Hour-2*time.Minute).Unix()))), "expired"},
		"no expiry":                {here.Token(enroltest.Claims(with("exp", nil))), "lives for longer"},
		"ten years":                {here.Token(enroltest.Claims(with("exp", time.Now().AddDate(10, 0, 0).Unix()))), "lives for longer"},
		"from tomorrow":            {here.Token(enroltest.Claims(with("iat", time.Now().Add(24*time.Hour).Unix()), with("exp", time.Now().Add(25*time.Hour).Unix()))), "in the future"},
		"symmetric":                {enroltest.Sign(jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: []byte(here.JWKS()), KeyID: here.ID}}, enroltest.Claims()), "no JWT signed with"},
		"no algorithm":             {"eyJhbGciOiJub25lIiwia2lkIjoid29ya2xvYWQifQ." + parts[1] + ".", "no JWT signed with"},
		"a flipped bit":            {parts[0] + "." + parts[1] + "." + flipped(parts[2]), "signature"},
		"other claims":             {parts[0] + "." + strings.Split(here.Token(enroltest.Claims(with("jti", "y"))), ".")[1] + "." + parts[2], "signature"},
	} {
		w.turn(2 * time.Second * time.Duration(n%2)) // the rate limit is not what is tested
		if n++; n%burst == 0 {
			w.limits = newLimits(w.Log)
		}
		request := newSpoke(t).request(t, "east", "secret")
		request.AccountToken = c.token
		_, err := w.client.Enrol(t.Context(), request)
		require.Equal(t, codes.Unauthenticated, status.Code(err), "%s: %v", name, err)
		require.ErrorContains(t, err, "AccountTokenWrong", name)
		require.ErrorContains(t, err, c.says, name)
		if len(c.token) > 8 {
			require.NotContains(t, err.Error()+w.log.String(), c.token, name)
		}
	}
	require.Equal(t, before, w.all(t))
	require.Empty(t, w.recorded)
	w.limits = newLimits(w.Log)
	foreign := newSpoke(t).request(t, "east", "secret")
	foreign.ClusterUid = "uid-of-west"
	_, err := w.client.Enrol(t.Context(), foreign)
	require.ErrorContains(t, err, "ClusterUIDMismatch")
	require.Equal(t, before, w.all(t))
	_, err = w.client.Enrol(t.Context(), newSpoke(t).request(t, "east", "secret"))
	require.NoError(t, err, "a token is burnt by success alone")
}

func flipped(part string) string {
	last := byte('A')
	if part[0] == 'A' {
		last = 'B'
	}
	return string(last) + part[1:]
}

// Whoever has the join token learns why, and whoever has not learns nothing of the second factor.
func TestTheJoinTokenComesFirst(t *testing.T) {
	w := newWorld(t)
	w.register(t, "east", "secret")
	request := newSpoke(t).request(t, "east", "wrong")
	request.AccountToken = "x"
	_, err := w.client.Enrol(t.Context(), request)
	require.ErrorContains(t, err, "TokenWrong")
	unpinned := spec(t, "west", "t-west", w.clock())
	unpinned.Workload = nil
	require.NoError(t, w.Register(t.Context(), "west", unpinned))
	before := w.all(t)
	_, err = w.client.Enrol(t.Context(), newSpoke(t).request(t, "west", "t-west"))
	require.ErrorContains(t, err, "NotPinned")
	require.Equal(t, before, w.all(t))
}

func TestWhatMayBePinned(t *testing.T) {
	public := func(keys ...any) string {
		var set jose.JSONWebKeySet
		for i, key := range keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: key, KeyID: fmt.Sprint(i), Use: "sig"})
		}
		raw, err := json.Marshal(set)
		require.NoError(t, err)
		return string(raw)
	}
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	edward, _, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	many := make([]any, maxKeys+1)
	for i := range many {
		many[i] = strong.Public()
	}
	pin := v1alpha1.WorkloadPin{UID: "uid-of-east", Issuer: issuer, JWKS: public(strong.Public(), edward)}
	parsed, err := ParsePin(pin)
	require.NoError(t, err)
	require.Len(t, parsed.keys, 1, "no API server signs with Ed25519")
	for says, jwks := range map[string]string{
		"not a JSON object": "x", "no key that": `{"keys":[]}`, "not public": public(strong), "at most 16": public(many...), "at most 32768": strings.Repeat(" ", maxJWKS+1),
		"with a key ID": strings.Replace(public(strong.Public()), `"kid":"0"`, `"kid":""`, 1),
	} {
		bad := pin
		bad.JWKS = jwks
		_, err := ParsePin(bad)
		require.ErrorContains(t, err, says)
	}
	bad := pin
	bad.UID = "x"
	_, err = ParsePin(bad)
	require.ErrorContains(t, err, "UID")
	bad = pin
	bad.Issuer = ""
	_, err = ParsePin(bad)
	require.ErrorContains(t, err, "issuer")
	w := newWorld(t)
	require.ErrorIs(t, w.Register(t.Context(), "east", v1alpha1.ClusterSpec{Join: v1alpha1.JoinToken{SHA256: hash("x"), IssuedAt: stampOf(w.clock())}, Workload: &bad}), ErrRegistration)
	require.Empty(t, w.all(t))
}

// A spoke that proved itself waits for a person's word, which is for its key alone; its claim is on disk, its identity is not.
func TestASpokeMayHaveToWait(t *testing.T) {
	w := newWorld(t)
	declared := spec(t, "east", "secret", w.clock())
	declared.Accept = v1alpha1.AcceptManual
	require.NoError(t, w.Register(t.Context(), "east", declared))
	s := newSpoke(t)
	asks := func() (*writv1.EnrolResponse, error) {
		w.limits = newLimits(w.Log)
		return w.client.Enrol(t.Context(), s.request(t, "east", "secret"))
	}
	waits := func() {
		t.Helper()
		_, err := asks()
		require.Equal(t, codes.Unavailable, status.Code(err), "so that the spoke asks again")
		require.ErrorContains(t, err, "AcceptancePending")
		_, live, err := w.Get(t.Context(), "east")
		require.NoError(t, err)
		require.False(t, live)
		require.Empty(t, w.recorded)
	}
	waits()
	_, err := w.client.Enrol(t.Context(), newSpoke(t).request(t, "east", "secret"))
	require.ErrorContains(t, err, "TokenUsed", "the token is burnt")
	c, known, err := w.Look(t.Context(), "east")
	require.NoError(t, err)
	require.True(t, known)
	require.True(t, c.Waits())
	declared.Accepted = hash("another key")
	require.NoError(t, w.Register(t.Context(), "east", declared))
	waits()
	w.turn(TokenLife + time.Minute) // a person takes longer than a token lives
	waits()
	declared.Accepted = c.Claim.Key()
	require.NoError(t, w.Register(t.Context(), "east", declared))
	_, err = asks()
	require.NoError(t, err)
	require.Len(t, w.recorded, 1)

	late := declared
	late.Join = v1alpha1.JoinToken{SHA256: hash("later"), IssuedAt: stampOf(w.clock())}
	late.Workload = spec(t, "late", "", w.clock()).Workload
	late.Accepted = ""
	require.NoError(t, w.Register(t.Context(), "late", late))
	forgotten := newSpoke(t).request(t, "late", "later")
	_, err = w.client.Enrol(t.Context(), forgotten)
	require.ErrorContains(t, err, "AcceptancePending")
	w.turn(acceptWithin + time.Minute)
	forgotten.AccountToken = workload().Token(enroltest.Claims(func(said map[string]any) {
		said["iat"], said["exp"] = w.clock().Unix(), w.clock().Add(time.Hour).Unix()
	}))
	_, err = w.client.Enrol(t.Context(), forgotten)
	require.ErrorContains(t, err, "TokenExpired")
}

// A cluster that has joined may be let in anew: the identity of before counts until the other one comes, and then for nothing.
func TestRejoin(t *testing.T) {
	w := newWorld(t)
	var ended []string
	w.Ended = func(cluster string) { ended = append(ended, cluster) }
	w.register(t, "east", "first")
	old := newSpoke(t)
	response, err := w.client.Enrol(t.Context(), old.request(t, "east", "first"))
	require.NoError(t, err)
	before := leafOf(t, response.GetChain())
	lives := func(want bool) {
		t.Helper()
		_, ok, err := w.Authorise(t.Context(), before)
		require.NoError(t, err)
		require.Equal(t, want, ok)
	}
	again := spec(t, "east", "second", w.clock())
	require.ErrorIs(t, w.Register(t.Context(), "east", again), ErrRegistration, "it must be said")
	again.Join.Rejoin = true
	elsewhere := again
	elsewhere.Workload = spec(t, "another", "", w.clock()).Workload
	require.ErrorContains(t, w.Register(t.Context(), "east", elsewhere), "is another one")
	nowhere := again
	nowhere.Workload = nil
	require.ErrorIs(t, w.Register(t.Context(), "east", nowhere), ErrRegistration)
	require.NoError(t, w.Register(t.Context(), "east", again))
	require.NoError(t, w.Register(t.Context(), "east", again))
	lives(true)
	_, err = w.client.Enrol(t.Context(), old.request(t, "east", "first"))
	require.ErrorContains(t, err, "TokenWrong", "the token of before")
	lives(true)
	require.Empty(t, ended)

	fresh := newSpoke(t)
	response, err = w.client.Enrol(t.Context(), fresh.request(t, "east", "second"))
	require.NoError(t, err)
	require.Equal(t, uint64(2), response.GetHead().GetEpoch())
	require.Equal(t, []string{"east"}, ended)
	lives(false)
	_, ok, err := w.Authorise(t.Context(), leafOf(t, response.GetChain()))
	require.NoError(t, err)
	require.True(t, ok)
	require.Len(t, w.recorded, 2)
	_, err = w.client.Enrol(t.Context(), newSpoke(t).request(t, "east", "second"))
	require.ErrorContains(t, err, "TokenUsed")
	c, _, err := w.Get(t.Context(), "east")
	require.NoError(t, err)
	require.Equal(t, fresh.request(t, "east", "").GetReceiptKey(), c.Claim.ReceiptKey)
}
