package enrol

import (
	"context"
	"errors"
	"log/slog"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/identity"
)

// Enrol implements writ.v1.Enrolment: judge, claim, record, issue. A spoke whose answer was lost may ask again with the same
// keys as long as the token lives.
func (s *Service) Enrol(ctx context.Context, request *writv1.EnrolRequest) (*writv1.EnrolResponse, error) {
	log := s.about(request.GetCluster())
	if no := s.limits.allow(ctx, request.GetCluster(), s.Now()); no != nil {
		return nil, s.answer(ctx, log, no)
	}
	c, err := s.claim(ctx, request)
	if s.mayBeNews(err) && s.Refresh(ctx, request.GetCluster()) == nil {
		c, err = s.claim(ctx, request)
	}
	if err == nil && c.Waits() {
		s.changed(c.Name)
		err = refuse(AcceptancePending, "the spoke has proved itself, and waits until the fleet operator accepts it: writ cluster accept %s (its receipt key is %s)", c.Name, c.Claim.Key())
	}
	if err == nil {
		c, err = s.record(ctx, c)
	}
	if err != nil {
		return nil, s.answer(ctx, log, err)
	}
	issued, err := s.issue(ctx, c, request.GetCsr())
	if err != nil {
		return nil, s.answer(ctx, log, err)
	}
	log.InfoContext(ctx, "enrolled", "id", c.Claim.SPIFFEID, "clusterUID", c.Claim.ClusterUID, "epoch", c.Epoch, "release", c.Claim.Release)
	return &writv1.EnrolResponse{Chain: issued.Chain, Authorities: issued.Authorities, Head: &writv1.Head{Epoch: c.Epoch}}, nil
}

// mayBeNews reports whether a refusal may be for want of a registration that was declared and not yet taken in.
func (s *Service) mayBeNews(err error) bool {
	var no *refusal
	return s.Refresh != nil && errors.As(err, &no) && (no.reason == TokenWrong || no.reason == ClusterUnknown)
}

// claim burns the token: of two spokes that come at once, one does. Where a cluster joins anew, the identity of before ends here.
func (s *Service) claim(ctx context.Context, request *writv1.EnrolRequest) (Cluster, error) {
	rejoined := false
	c, err := s.change(ctx, request.GetCluster(), func(old Cluster) (*Cluster, []store.Op, error) {
		claim, no := judge(old, request, s.Now())
		if no != nil {
			return nil, nil, no
		}
		if rejoined = old.Claim != nil && !old.Used(); old.Used() {
			return nil, nil, nil
		}
		id, err := identity.Cluster(s.TrustDomain, old.Name)
		if err != nil {
			return nil, nil, err
		}
		claim.SPIFFEID = id.String()
		uid := uidKey(claim.ClusterUID)
		holder, err := s.Store.Get(ctx, uid)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, nil, err
		}
		if err == nil && string(holder.Value) != old.Name { // our own name: somebody was quicker, and the commit will tell
			return nil, nil, refuse(ClusterUIDInUse, "this cluster has enrolled under another name: delete that one first")
		}
		next := old
		next.Claim, next.Epoch, next.EnrolledAt, next.Reset = claim, old.Epoch+1, nil, nil
		claim.Enrolment = strconv.FormatUint(next.Epoch, 10)
		return &next, []store.Op{store.Check(uid, holder.Version), store.Put(uid, []byte(old.Name))}, nil
	})
	if err == nil && rejoined {
		s.ended(c.Name)
	}
	return c, err
}

// record puts an enrolment into the audit log, and then makes the cluster live.
func (s *Service) record(ctx context.Context, c Cluster) (Cluster, error) {
	if c.Live() {
		return c, nil
	}
	now := s.Now().UTC()
	err := s.Recorder.RecordEnrolment(ctx, Enrolment{Cluster: c.Name, ClusterUID: c.Claim.ClusterUID, SPIFFEID: c.Claim.SPIFFEID,
		ReceiptKey: c.Claim.ReceiptKey, Epoch: c.Epoch, At: now})
	if err != nil {
		return Cluster{}, err
	}
	done, err := s.change(ctx, c.Name, func(old Cluster) (*Cluster, []store.Op, error) {
		if old.Claim == nil || old.Epoch != c.Epoch {
			return nil, nil, refuse(TokenUsed, "the cluster was registered anew meanwhile: use the new join file")
		}
		if old.EnrolledAt != nil {
			return nil, nil, nil
		}
		next := old
		next.EnrolledAt = &now
		return &next, nil, nil
	})
	s.changed(c.Name)
	return done, err
}

// issue makes an SVID from the record, and from the request's public key.
func (s *Service) issue(ctx context.Context, c Cluster, csr []byte) (*writv1.RenewResponse, error) {
	asked, err := identity.ReadRequest(csr)
	if err != nil {
		return nil, refuse(KeyUnacceptable, "%s", err)
	}
	id, err := identity.Cluster(s.TrustDomain, c.Name)
	if err != nil {
		return nil, err
	}
	chain, err := s.CA.Issue(ctx, c.Claim.Enrolment, asked, id, s.Now(), s.Life)
	if err != nil {
		return nil, err
	}
	return &writv1.RenewResponse{Chain: chain, Authorities: s.CA.Authorities().PEM()}, nil
}

// about is the log for a cluster's name, which anybody may have sent.
func (s *Service) about(cluster string) *slog.Logger {
	return s.Log.With("cluster", cluster[:min(len(cluster), 64)])
}

// answer logs why a call failed and makes of it what the caller may hear.
func (s *Service) answer(ctx context.Context, log *slog.Logger, err error) error {
	var no *refusal
	if errors.As(err, &no) {
		if no.reason != TooManyAttempts { // those are counted, not told one by one: see limits
			log.WarnContext(ctx, "refused", "reason", string(no.reason), "detail", no.detail)
		}
		return no.GRPCStatus().Err()
	}
	log.ErrorContext(ctx, "fault", "error", err)
	if errors.Is(err, identity.ErrAway) {
		return status.Error(codes.Unavailable, "the hub cannot sign SVIDs now, because its CA's key is away: try again")
	}
	return status.Error(codes.Unavailable, "the hub had a fault and has let nobody in: try again with the same join file")
}
