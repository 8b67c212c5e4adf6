package enrol

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/writ-dev/writ/internal/identity"
)

// The files of a spoke's state, mode 0600 each, written as a whole. enrolment.json is written last: with it, the enrolment
// counts.
const (
	firstKeyFile    = "first.key"
	receiptKeyFile  = "receipt.key"
	svidFile        = "svid.pem"
	authoritiesFile = "authorities.pem"
	enrolmentFile   = "enrolment.json"
)

// Facts are what an enrolment settled for good.
type Facts struct {
	Cluster     string    `json:"cluster"`
	ClusterUID  string    `json:"clusterUID"`
	TrustDomain string    `json:"trustDomain"`
	Hub         Hub       `json:"hub"`
	Epoch       uint64    `json:"epoch"`     // where the journal begins, at sequence 0
	TrustRoot   string    `json:"trustRoot"` // JSON, as pinned by the join file
	EnrolledAt  time.Time `json:"enrolledAt"`
	JoinedWith  string    `json:"joinedWith,omitempty"` // the digest of the join token, see Join.TokenDigest
}

// Enrolment is a spoke's identity, and the keys that go with it.
type Enrolment struct {
	Facts
	Source     *identity.Source
	ReceiptKey ed25519.PrivateKey

	spoke Spoke
	hurry chan struct{} // a renewal is wanted now
}

// Settled are the facts of the enrolment on disk; nil where there is none.
func (s Spoke) Settled() (*Facts, error) {
	raw, err := os.ReadFile(filepath.Join(s.Dir, enrolmentFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var facts Facts
	if err := json.Unmarshal(raw, &facts); err != nil {
		return nil, fmt.Errorf("%s: %w", enrolmentFile, err)
	}
	return &facts, nil
}

// load reads an enrolment from disk; nil where there is none.
func (s Spoke) load() (*Enrolment, error) {
	facts, err := s.Settled()
	if facts == nil || err != nil {
		return nil, err
	}
	e := &Enrolment{Facts: *facts, spoke: s, hurry: make(chan struct{}, 1)}
	svid, err := identity.LoadSVID(filepath.Join(s.Dir, svidFile))
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(s.Dir, authoritiesFile))
	if err != nil {
		return nil, err
	}
	authorities, err := identity.ParseAuthorities(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", authoritiesFile, err)
	}
	if e.ReceiptKey, err = s.receiptKey(); err != nil {
		return nil, err
	}
	e.Source = identity.NewSource(svid, authorities)
	return e, nil
}

func (e *Enrolment) save() error {
	if err := e.store(e.Source.SVID(), e.Source.Authorities()); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(e.Facts, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the enrolment: %w", err)
	}
	if err := identity.WriteFile(filepath.Join(e.spoke.Dir, enrolmentFile), raw); err != nil {
		return err
	}
	// The first SVID's key lives on in svid.pem; a second copy serves nobody.
	if err := os.Remove(filepath.Join(e.spoke.Dir, firstKeyFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (e *Enrolment) store(svid *identity.SVID, authorities *identity.Authorities) error {
	if err := identity.WriteFile(filepath.Join(e.spoke.Dir, authoritiesFile), authorities.PEM()); err != nil {
		return err
	}
	return svid.Save(filepath.Join(e.spoke.Dir, svidFile))
}
