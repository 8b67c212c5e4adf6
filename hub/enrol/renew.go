package enrol

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"time"

	"github.com/writ-dev/writ/api/capability"
	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

// proofLife bounds how far the time in a return's proof may lie from the hub's.
const proofLife = 5 * time.Minute

// Authorise returns the live record that a verified certificate speaks for; ok is false where there is none. A certificate of an
// enrolment before speaks for nobody, though its name may have been given again.
func (s *Service) Authorise(ctx context.Context, leaf *x509.Certificate) (c Cluster, ok bool, err error) {
	id, err := identity.IDOf(leaf)
	if err != nil {
		return Cluster{}, false, nil //nolint:nilerr // a certificate that is no SVID speaks for nobody
	}
	name, ok := identity.ClusterName(s.TrustDomain, id)
	if !ok {
		return Cluster{}, false, nil
	}
	c, ok, err = s.Get(ctx, name)
	return c, err == nil && ok && c.Claim.SPIFFEID == id.String() && c.Claim.Enrolment == identity.EnrolmentOf(leaf), err
}

// Renew makes the next SVID of a cluster that was authorised by its present one. Its errors are gRPC statuses.
func (s *Service) Renew(ctx context.Context, cluster string, request *writv1.RenewRequest) (*writv1.RenewResponse, error) {
	log := s.about(cluster)
	c, ok, err := s.Get(ctx, cluster)
	if err == nil && !ok {
		err = refuse(ClusterUnknown, "not, or no longer, enrolled")
	}
	if peer := request.GetVersion().GetCapability(); err == nil && !capability.Compatible(peer) {
		err = refuse(VersionSkew, "%s", capability.Advice("spoke", peer))
	}
	if err != nil {
		return nil, s.answer(ctx, log, err)
	}
	issued, err := s.issue(ctx, c, request.GetCsr())
	if err != nil {
		return nil, s.answer(ctx, log, err)
	}
	log.InfoContext(ctx, "renewed", "id", c.Claim.SPIFFEID)
	return issued, nil
}

// Return implements writ.v1.Enrolment: a live cluster whose SVID ran out proves itself with its receipt key, and gets an
// SVID of the same ID. A proof that is overheard is of no use: the SVID is for the key in the signing request.
func (s *Service) Return(ctx context.Context, request *writv1.ReturnRequest) (*writv1.RenewResponse, error) {
	log := s.about(request.GetCluster())
	if no := s.limits.allow(ctx, request.GetCluster(), s.Now()); no != nil {
		return nil, s.answer(ctx, log, no)
	}
	c, ok, err := s.Get(ctx, request.GetCluster())
	if err != nil {
		return nil, s.answer(ctx, log, err)
	}
	if !ok || !proves(c, request, s.Now()) {
		return nil, s.answer(ctx, log, refuse(ProofWrong, "no live cluster of this name has this receipt key, or the spoke's clock is more than %s off: set the clock, or enrol the cluster again", proofLife))
	}
	if peer := request.GetVersion().GetCapability(); !capability.Compatible(peer) {
		return nil, s.answer(ctx, log, refuse(VersionSkew, "%s", capability.Advice("spoke", peer)))
	}
	issued, err := s.issue(ctx, c, request.GetCsr())
	if err != nil {
		return nil, s.answer(ctx, log, err)
	}
	log.InfoContext(ctx, "returned", "id", c.Claim.SPIFFEID)
	return issued, nil
}

func proves(c Cluster, request *writv1.ReturnRequest, now time.Time) bool {
	key, at := receiptKey(c.Claim.ReceiptKey), request.GetAt().AsTime()
	return key != nil && now.Sub(at).Abs() <= proofLife &&
		ed25519.Verify(key, identity.ReturnProof(c.Name, at, request.GetCsr()), request.GetSignature())
}
