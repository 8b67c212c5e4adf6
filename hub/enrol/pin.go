package enrol

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/internal/identity"
)

const (
	// maxJWKS and maxAccountToken bound in bytes what is parsed, and maxKeys how many keys one cluster may have: those of a rotation.
	maxJWKS         = 32 << 10
	maxAccountToken = 8 << 10
	maxKeys         = 16
	// leastRSA is the size in bits of the smallest RSA key that counts.
	leastRSA = 2048
	// accountTokenLife bounds how long a token of the spoke's ServiceAccount may live: a longer one was not projected into a pod.
	accountTokenLife = time.Hour
)

// accountAlgorithms are those that API servers sign with (KEP 1393), and no symmetric one.
var accountAlgorithms = []jose.SignatureAlgorithm{jose.RS256, jose.ES256, jose.ES384, jose.ES512}

// Pin holds fast which cluster a registration is for, and whose tokens count as those of its ServiceAccounts.
type Pin struct {
	ClusterUID string `json:"clusterUID"` // of the namespace kube-system
	Issuer     string `json:"issuer"`
	JWKS       string `json:"jwks"` // RFC 7517; public keys alone

	keys []jose.JSONWebKey
}

// ParsePin checks what a registration says of its cluster. Keys that no API server signs with are passed over; one that is not
// public is an error, and so is a set without any that counts.
func ParsePin(declared v1alpha1.WorkloadPin) (*Pin, error) {
	pin := &Pin{ClusterUID: declared.UID, Issuer: declared.Issuer, JWKS: declared.JWKS}
	if !uidShape.MatchString(pin.ClusterUID) {
		return nil, errors.New("the cluster's UID does not look like the UID of the namespace kube-system")
	}
	if u, err := url.Parse(pin.Issuer); err != nil || pin.Issuer == "" || u.User != nil {
		return nil, errors.New("the issuer of the ServiceAccounts' tokens is not one: take it from /.well-known/openid-configuration")
	}
	return pin, pin.parse()
}

func (p *Pin) parse() error {
	if len(p.JWKS) > maxJWKS {
		return fmt.Errorf("the JWKS has %d bytes, at most %d are allowed", len(p.JWKS), maxJWKS)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(p.JWKS)))
	if err := decoder.Decode(&set); err != nil || decoder.More() {
		return errors.New("the JWKS is not a JSON object with keys (RFC 7517): take what /openid/v1/jwks answers")
	}
	if len(set.Keys) > maxKeys {
		return fmt.Errorf("the JWKS has %d keys, at most %d are allowed", len(set.Keys), maxKeys)
	}
	p.keys = nil
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(raw); err != nil {
			continue // of a kind that go-jose does not know, and no API server signs with
		}
		if !key.IsPublic() {
			return errors.New("the JWKS holds a key that is not public: treat it as leaked, and take what /openid/v1/jwks answers")
		}
		if counts(key) {
			p.keys = append(p.keys, key)
		}
	}
	if len(p.keys) == 0 {
		return errors.New("the JWKS has no key that an API server signs with: RSA of 2048 bits or more, or ECDSA, with a key ID")
	}
	return nil
}

func counts(key jose.JSONWebKey) bool {
	if key.KeyID == "" || key.Use != "" && key.Use != "sig" {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= leastRSA
	case *ecdsa.PublicKey:
		return true
	}
	return false
}

// verify judges a token of the spoke's ServiceAccount by what was pinned, and by nothing that it brings along. It asks nobody.
func (p *Pin) verify(token string, now time.Time) *refusal {
	if token == "" {
		return refuse(AccountTokenWrong, "the spoke showed no token of its ServiceAccount: mount one for the audience %s, as the spoke's chart does, or upgrade the spoke", identity.EnrolAudience)
	}
	if len(token) > maxAccountToken {
		return refuse(AccountTokenWrong, "the ServiceAccount token has %d bytes, at most %d are allowed", len(token), maxAccountToken)
	}
	if p.keys == nil {
		if err := p.parse(); err != nil {
			return refuse(NotPinned, "%s", err)
		}
	}
	signed, err := jwt.ParseSigned(token, accountAlgorithms)
	if err != nil || len(signed.Headers) != 1 {
		return refuse(AccountTokenWrong, "the ServiceAccount token is no JWT signed with RS256, ES256, ES384 or ES512")
	}
	key := p.key(signed.Headers[0].KeyID)
	if key == nil {
		return refuse(AccountTokenWrong, "the ServiceAccount token is signed with a key that was not pinned: it is of another cluster, or this one's signing key was rotated since: register the cluster again")
	}
	var claims accountClaims
	switch err := signed.Claims(key, &claims); {
	case errors.Is(err, jose.ErrCryptoFailure):
		return refuse(AccountTokenWrong, "the signature of the ServiceAccount token is wrong")
	case err != nil:
		return refuse(AccountTokenWrong, "the claims of the ServiceAccount token cannot be read: it has no issuer, audience, subject or expiry of the right kind")
	}
	return p.judgeClaims(claims, now)
}

func (p *Pin) key(id string) *jose.JSONWebKey {
	for i := range p.keys {
		if p.keys[i].KeyID == id {
			return &p.keys[i]
		}
	}
	return nil
}

// accountClaims are those of a token of TokenRequest that are looked at.
type accountClaims struct {
	jwt.Claims
	Kubernetes struct {
		Namespace      string `json:"namespace"`
		ServiceAccount struct {
			Name string `json:"name"`
		} `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

func (p *Pin) judgeClaims(c accountClaims, now time.Time) *refusal {
	said := c.Kubernetes
	switch {
	case c.Issuer != p.Issuer:
		return refuse(AccountTokenWrong, "the ServiceAccount token is of another issuer than the one that was pinned (%s)", p.Issuer)
	case len(c.Audience) != 1 || c.Audience[0] != identity.EnrolAudience:
		return refuse(AccountTokenWrong, "the ServiceAccount token is not for the audience %s alone", identity.EnrolAudience)
	case c.Subject != identity.SpokeSubject || identity.Subject(said.Namespace, said.ServiceAccount.Name) != c.Subject:
		return refuse(AccountTokenWrong, "the ServiceAccount token is not of %s", identity.SpokeSubject)
	case c.Expiry == nil || c.IssuedAt == nil || c.Expiry.Time().Sub(c.IssuedAt.Time()) > accountTokenLife:
		return refuse(AccountTokenWrong, "the ServiceAccount token lives for longer than %s", accountTokenLife)
	case !now.Before(c.Expiry.Time().Add(skew)):
		return refuse(AccountTokenWrong, "the ServiceAccount token expired at %s", c.Expiry.Time().UTC().Format(time.RFC3339))
	case c.IssuedAt.Time().After(now.Add(skew)) || c.NotBefore != nil && c.NotBefore.Time().After(now.Add(skew)):
		return refuse(AccountTokenWrong, "the ServiceAccount token begins in the future: set the clocks of hub and cluster")
	}
	return nil
}
