// Package enroltest signs tokens of ServiceAccounts as a workload cluster's API server does, for tests that need many clusters, or
// tokens that no API server would sign. It ships in no program.
package enroltest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/writ-dev/writ/internal/identity"
)

// Issuer is who issues the tokens, by default in Kubernetes.
const Issuer = "https://kubernetes.default.svc.cluster.local"

// Server is an API server, as far as it signs tokens.
type Server struct {
	Key crypto.Signer
	ID  string // of the key
}

// New makes a server with a key of its own (ECDSA, P-256).
func New(keyID string) Server {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return Server{key, keyID}
}

// JWKS is what it answers under /openid/v1/jwks.
func (s Server) JWKS() string {
	raw, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: s.Key.Public(), KeyID: s.ID, Algorithm: string(jose.ES256), Use: "sig"}}})
	if err != nil {
		panic(err)
	}
	return string(raw)
}

// Claims are those of a good token, as changed.
func Claims(change ...func(map[string]any)) map[string]any {
	now := time.Now()
	said := map[string]any{"iss": Issuer, "sub": identity.SpokeSubject, "aud": []string{identity.EnrolAudience}, "jti": "x",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
		"kubernetes.io": map[string]any{"namespace": "writ-system", "serviceaccount": map[string]any{"name": "writ-spoke", "uid": "u"}}}
	for _, c := range change {
		c(said)
	}
	return said
}

// Token signs claims.
func (s Server) Token(claims map[string]any) string {
	return Sign(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: s.Key, KeyID: s.ID}}, claims)
}

// Sign signs claims with any key.
func Sign(key jose.SigningKey, claims map[string]any) string {
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		panic(err)
	}
	token, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		panic(err)
	}
	return token
}
