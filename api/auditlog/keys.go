package auditlog

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// TrustRoot records that a version of the trust root is published: it counts from here on.
type TrustRoot struct {
	Version int64     `json:"version"`
	Digest  string    `json:"digest"` // of its bytes
	Before  string    `json:"before"` // digest of the version that it follows
	Expires time.Time `json:"expires"`
}

// Authority records a step of a rotation of the CA, which signs the identities of hub and spokes.
type Authority struct {
	Step   AuthorityStep `json:"step"`
	Signer string        `json:"signer"` // key identifier of the authority that signs from here on
	Digest string        `json:"digest"` // of all authorities that are trusted from here on
	// LeftBehind are the clusters that had not followed and were not waited for any more.
	LeftBehind []string `json:"leftBehind,omitempty"`
}

// AuthorityStep is how far a rotation of the CA has come.
type AuthorityStep string

// The steps, in their order.
const (
	AuthorityPublished AuthorityStep = "published" // the next authority is trusted, and does not sign yet
	AuthoritySigning   AuthorityStep = "signing"   // it signs, and the old one is still trusted
	AuthorityDropped   AuthorityStep = "dropped"   // the old one is not trusted any more
)

// follows is the step after which each comes.
var follows = map[AuthorityStep]AuthorityStep{AuthorityPublished: AuthorityDropped, AuthoritySigning: AuthorityPublished, AuthorityDropped: AuthoritySigning}

// validateKeys checks an entry of a trust root or of an authority: both are of the whole fleet.
func validateKeys(e Entry) error {
	if e.Cluster != "" || e.Request != nil {
		return fmt.Errorf("a %s is of no one cluster or request", e.Type)
	}
	if r := e.TrustRoot; r != nil && (r.Version < 2 || r.Digest == "" || r.Before == "" || r.Expires.IsZero()) {
		return errors.New("a published trust root needs version, digest, the one before and its end")
	}
	if a := e.Authority; a != nil && (follows[a.Step] == "" || a.Signer == "" || a.Digest == "") {
		return errors.New("a step of the CA's rotation needs step, signer and digest")
	}
	return nil
}

// published follows the versions of the trust root: each comes after the one before. The same one twice is one: a hub was killed in between.
func (l *ledger) published(index uint64, e Entry) {
	before, next := l.root, e.TrustRoot
	switch {
	case before == nil || before.Version == next.Version && before.Digest == next.Digest:
	case next.Version != before.Version+1 || next.Before != before.Digest:
		l.found(TrustRootUnexplained, index, "version %d of the trust root (%s) does not follow version %d (%s), which was published before it",
			next.Version, next.Digest, before.Version, before.Digest)
	}
	l.root = next
}

// rotated follows the rotations of the CA: no step is left out, and who signs changes when the step says so.
func (l *ledger) rotated(index uint64, e Entry) {
	before, next := l.authority, e.Authority
	switch {
	case before == nil || before.Step == next.Step && before.Signer == next.Signer && before.Digest == next.Digest:
	case before.Step != follows[next.Step]:
		l.found(AuthorityUnexplained, index, "the CA's rotation is %s, after it was %s", next.Step, before.Step)
	case (before.Signer != next.Signer) != (next.Step == AuthoritySigning):
		l.found(AuthorityUnexplained, index, "the CA's rotation is %s, and %s signs after %s", next.Step, next.Signer, before.Signer)
	}
	l.authority = next
}

func (r TrustRoot) summary() string {
	return fmt.Sprintf("version %d of the trust root is published, good until %s, %s", r.Version, r.Expires.UTC().Format(time.RFC3339), r.Digest)
}

func (a Authority) summary() string {
	line := map[AuthorityStep]string{
		AuthorityPublished: "the CA: the next authority is trusted, and %s signs still",
		AuthoritySigning:   "the CA: the next authority signs, %s",
		AuthorityDropped:   "the CA: the old authority is not trusted any more, %s signs",
	}[a.Step]
	return optional(fmt.Sprintf(line, a.Signer), "; left behind: ", strings.Join(a.LeftBehind, ", "))
}
