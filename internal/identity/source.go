package identity

import (
	"crypto/tls"
	"errors"
	"sync/atomic"
)

// Source holds who we are and whom we trust. Every handshake looks here, so what Set puts in counts from the next one on.
// It is safe for concurrent use.
type Source struct {
	current atomic.Pointer[state]
	watch   atomic.Pointer[func()]
}

type state struct {
	svid        *SVID
	authorities *Authorities
}

// ErrNoSVID is returned to who connects before there is an SVID.
var ErrNoSVID = errors.New("there is no SVID yet")

// NewSource makes a source. The SVID may be nil: nobody is connected with until Set brings one.
func NewSource(svid *SVID, authorities *Authorities) *Source {
	s := &Source{}
	s.Set(svid, authorities)
	return s
}

// Set replaces both parts at once.
func (s *Source) Set(svid *SVID, authorities *Authorities) {
	s.current.Store(&state{svid: svid, authorities: authorities})
	s.changed()
}

// Watch has one function called after each change. It must not block.
func (s *Source) Watch(changed func()) { s.watch.Store(&changed) }

func (s *Source) changed() {
	if watch := s.watch.Load(); watch != nil {
		(*watch)()
	}
}

// SetAuthorities replaces the authorities alone.
func (s *Source) SetAuthorities(authorities *Authorities) {
	for before := s.current.Load(); !s.current.CompareAndSwap(before, &state{svid: before.svid, authorities: authorities}); {
		before = s.current.Load()
	}
	s.changed()
}

// SVID is the current one; nil where there is none yet.
func (s *Source) SVID() *SVID { return s.current.Load().svid }

// Authorities are the current ones.
func (s *Source) Authorities() *Authorities { return s.current.Load().authorities }

// ClientCertificate presents the current SVID to a server that is not the hub, such as Vault. It fits
// tls.Config.GetClientCertificate.
func (s *Source) ClientCertificate(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
	svid := s.SVID()
	if svid == nil {
		return nil, ErrNoSVID
	}
	return &svid.certificate, nil
}
