package identity

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Stage is how far the rotation of a CA is.
type Stage string

// The stages, in order; after the last one the first comes again.
const (
	Idle      Stage = "idle"      // one authority signs, and is trusted
	Published Stage = "published" // the next one is trusted too, and does not sign yet
	Signing   Stage = "signing"   // the next one signs, and the old one is still trusted
)

// ErrStage is returned where a CA is not at the stage that a change begins at.
var ErrStage = errors.New("the CA is at another stage of its rotation")

// Stage is how far the CA is.
func (ca *CA) Stage() Stage { return ca.stage(ca.current.Load()) }

func (ca *CA) stage(s *signing) Stage {
	certs := s.authorities.certs
	switch {
	case len(certs) < 2:
		return Idle
	case ca.keeper != nil && certs[1].NotBefore.After(certs[0].NotBefore): // what a keeper gives next is always newer
		return Published
	case ca.keeper != nil:
		return Signing
	case samePublicKey(s.key.Public(), s.keys[0].Public()):
		return Published
	}
	return Signing
}

// Prepare makes the next authority, or takes the one that the keeper has. It is on disk, and trusted from then on; SVIDs are signed as
// before.
func (ca *CA) Prepare(ctx context.Context, now time.Time) error {
	return ca.change(Idle, func(s *signing) (*signing, error) {
		if ca.keeper != nil {
			cert, err := ca.newest(ctx, s.cert().NotBefore, now)
			if err != nil {
				return nil, err
			}
			authorities, err := ParseAuthorities(append(s.authorities.PEM(), cert...))
			return &signing{authorities: authorities, key: s.key, keys: s.keys}, err
		}
		key, err := GenerateKey()
		if err != nil {
			return nil, err
		}
		cert, err := selfSigned(ca.domain, key, now)
		if err != nil {
			return nil, err
		}
		authorities, err := ParseAuthorities(append(s.authorities.PEM(), cert...))
		if err != nil {
			return nil, err
		}
		next := &signing{authorities: authorities, key: s.key, keys: []crypto.Signer{s.key, key}}
		if err := ca.writeKeys(next.keys); err != nil { // first: a certificate without its key could never sign
			return nil, err
		}
		return next, nil
	})
}

// Switch lets the next authority sign, which it has done once before this returns. The old one is still trusted.
func (ca *CA) Switch(ctx context.Context, now time.Time) error {
	return ca.change(Published, func(s *signing) (*signing, error) {
		next := s.authorities.certs[1]
		authorities, err := ParseAuthorities(encodeCertificates([][]byte{next.Raw, s.cert().Raw}))
		if err != nil {
			return nil, err
		}
		switched := &signing{authorities: authorities, key: keyOf(next, s.keys), keys: s.keys}
		_, err = ca.makeBy(ctx, switched, "", Hub(ca.domain), now, Life)
		return switched, err
	})
}

// Drop ends the rotation: the old authority is trusted no more, and its key is gone, unless a keeper has it.
func (ca *CA) Drop() error {
	err := ca.change(Signing, func(s *signing) (*signing, error) {
		authorities, err := ParseAuthorities(encodeCertificates([][]byte{s.cert().Raw}))
		dropped := &signing{authorities: authorities, key: s.key}
		if s.key != nil {
			dropped.keys = []crypto.Signer{s.key}
		}
		return dropped, err
	})
	if err != nil {
		return err
	}
	return ca.writeKeys(ca.current.Load().keys)
}

// change writes the authorities, as one file, and lets them count.
func (ca *CA) change(from Stage, to func(*signing) (*signing, error)) error {
	ca.turn.Lock()
	defer ca.turn.Unlock()
	s := ca.current.Load()
	if stage := ca.stage(s); stage != from {
		return fmt.Errorf("%w: %s, not %s", ErrStage, stage, from)
	}
	next, err := to(s)
	if err != nil {
		return fmt.Errorf("CA: %w", err)
	}
	if err := WriteFile(filepath.Join(ca.dir, caCertFile), next.authorities.PEM()); err != nil {
		return fmt.Errorf("CA: %w", err)
	}
	ca.current.Store(next)
	return nil
}

// Signer is the ID of the authority that signs: what AuthorityOf says of the SVIDs that it issues.
func (ca *CA) Signer() string { return hex.EncodeToString(ca.current.Load().cert().SubjectKeyId) }

// AuthorityOf is the ID of the authority that signed a leaf.
func AuthorityOf(leaf *x509.Certificate) string { return hex.EncodeToString(leaf.AuthorityKeyId) }

// Vouch reports whether one of the authorities signed a leaf that was verified when its connection began. It does not look at the
// clock.
func (a *Authorities) Vouch(leaf *x509.Certificate) bool {
	for _, cert := range a.certs {
		if leaf.CheckSignatureFrom(cert) == nil {
			return true
		}
	}
	return false
}

// loadKeys reads the keys of a CA, and makes the first one where there is none. Where a keeper has them, the file is empty.
func (ca *CA) loadKeys(path string) ([]crypto.Signer, error) {
	raw, err := os.ReadFile(path)
	if ca.keeper != nil && (errors.Is(err, fs.ErrNotExist) || err == nil && len(raw) == 0) {
		return nil, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		key, err := LoadKey(path, GenerateKey)
		return []crypto.Signer{key}, err
	}
	if err != nil {
		return nil, err
	}
	var keys []crypto.Signer
	for rest := bytes.TrimSpace(raw); len(rest) > 0; rest = bytes.TrimSpace(rest) {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != keyBlock || len(keys) == 2 {
			return nil, fmt.Errorf("%s holds no PKCS #8 key in PEM, or something beside it", path)
		}
		key, err := parseKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no PKCS #8 key in PEM", path)
	}
	return keys, nil
}

func (ca *CA) writeKeys(keys []crypto.Signer) error {
	var raw []byte
	for _, key := range keys {
		encoded, err := encodeKey(key)
		if err != nil {
			return err
		}
		raw = append(raw, encoded...)
	}
	return WriteFile(filepath.Join(ca.dir, caKeyFile), raw)
}
