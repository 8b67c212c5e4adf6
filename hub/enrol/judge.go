package enrol

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"regexp"
	"time"

	"github.com/writ-dev/writ/api/capability"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

// uidShape is what a namespace's UID looks like.
var uidShape = regexp.MustCompile(`^[0-9A-Za-z-]{8,64}$`)

// acceptWithin is how long a spoke that proved itself may wait to be accepted, from its claim.
const acceptWithin = 24 * time.Hour

// judge says whether a spoke may have the record's identity, and what it brought. It is pure. The token comes first: whoever
// has not got it learns nothing else. Then comes the second factor: whoever has not got that burns nothing.
func judge(c Cluster, request *writv1.EnrolRequest, now time.Time) (*Claim, *refusal) {
	if !tokenMatches(c, request.GetToken()) {
		if c.TokenHash == "" {
			return nil, refuse(ClusterUnknown, "no cluster of this name is registered")
		}
		return nil, refuse(TokenWrong, "the token is not the one that was issued")
	}
	if c.Revoked != nil {
		return nil, refuse(ClusterRevoked, "the identity of this cluster was revoked: ask the fleet operator to remove it and register it again")
	}
	if peer := request.GetVersion().GetCapability(); !capability.Compatible(peer) {
		return nil, refuse(VersionSkew, "%s", capability.Advice("spoke", peer))
	}
	if c.Pin == nil {
		return nil, refuse(NotPinned, "the cluster was registered without the keys of its API server, so nobody can tell its spoke from another: register it again, with --workload or --jwks")
	}
	if no := c.Pin.verify(request.GetAccountToken(), now); no != nil {
		return nil, no
	}
	claim, no := readClaim(request, now)
	if no != nil {
		return nil, no
	}
	if claim.ClusterUID != c.Pin.ClusterUID {
		return nil, refuse(ClusterUIDMismatch, "the spoke runs in another cluster than the one that was registered: the UID of its namespace kube-system is another")
	}
	if c.Used() && !c.Claim.same(claim) {
		return nil, refuse(TokenUsed, "this token has let in a spoke with other keys: if that was not you, revoke the cluster and tell your security team; else register the cluster again")
	}
	until := c.IssuedAt.Add(TokenLife)
	if c.Used() && c.Manual && c.EnrolledAt == nil {
		until = c.Claim.At.Add(acceptWithin)
	}
	if now.After(until) {
		return nil, refuse(TokenExpired, "the token was good until %s: register the cluster again for a new one", until.UTC().Format(time.RFC3339))
	}
	claim.TokenHash = c.TokenHash
	return claim, nil
}

func tokenMatches(c Cluster, token string) bool {
	want, _ := hex.DecodeString(c.TokenHash)
	got := sha256.Sum256([]byte(token))
	known := len(want) == len(got)
	if !known {
		want = make([]byte, len(got)) // an unknown cluster takes as long
	}
	return subtle.ConstantTimeCompare(want, got[:]) == 1 && known
}

// readClaim reads what came with a token. Of the signing request it takes the public key.
func readClaim(request *writv1.EnrolRequest, now time.Time) (*Claim, *refusal) {
	asked, err := identity.ReadRequest(request.GetCsr())
	if err != nil {
		return nil, refuse(KeyUnacceptable, "%s", err)
	}
	publicDER, err := x509.MarshalPKIXPublicKey(asked.Key)
	if err != nil {
		return nil, refuse(KeyUnacceptable, "%s", err)
	}
	if receiptKey(request.GetReceiptKey()) == nil {
		return nil, refuse(KeyUnacceptable, "the receipt key is not an Ed25519 public key (PKIX, DER)")
	}
	if bytes.Equal(publicDER, request.GetReceiptKey()) {
		return nil, refuse(KeyUnacceptable, "the receipt key must not be the key of the SVID")
	}
	if !uidShape.MatchString(request.GetClusterUid()) {
		return nil, refuse(KeyUnacceptable, "the cluster's UID does not look like the UID of the namespace kube-system")
	}
	version := request.GetVersion()
	return &Claim{
		ClusterUID: request.GetClusterUid(), PublicKey: publicDER, ReceiptKey: request.GetReceiptKey(),
		Capability: version.GetCapability(), Release: version.GetRelease()[:min(len(version.GetRelease()), 64)], At: now.UTC(),
	}, nil
}

// same reports whether two claims come from one spoke, which may say its request again when the answer was lost.
func (c *Claim) same(other *Claim) bool {
	return c.ClusterUID == other.ClusterUID && bytes.Equal(c.PublicKey, other.PublicKey) && bytes.Equal(c.ReceiptKey, other.ReceiptKey)
}

func receiptKey(der []byte) ed25519.PublicKey {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil
	}
	public, _ := key.(ed25519.PublicKey)
	return public
}
