package enrol

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

// Keep renews the SVID at half of its life until the context ends. It is on disk before it is used.
func (e *Enrolment) Keep(ctx context.Context) {
	identity.Keep(ctx, e.Source, e.Renew, e.store, e.hurry, e.spoke.Now, e.spoke.Log)
}

// Hurry has Keep renew the SVID now. It never blocks.
func (e *Enrolment) Hurry() {
	select {
	case e.hurry <- struct{}{}:
	default:
	}
}

// Trust replaces what the spoke trusts for the hub. It is on disk when this returns nil.
func (e *Enrolment) Trust(pem []byte) error {
	authorities, err := identity.ParseAuthorities(pem)
	if err != nil {
		return err
	}
	if authorities.TrustDomain().Name() != e.TrustDomain {
		return fmt.Errorf("the hub sent authorities of the trust domain %s", authorities.TrustDomain())
	}
	if err := identity.WriteFile(filepath.Join(e.spoke.Dir, authoritiesFile), authorities.PEM()); err != nil {
		return err
	}
	e.Source.SetAuthorities(authorities)
	return nil
}

// Renew asks the hub for the next SVID, for a new key: over mTLS with the present one, or, where that ran out while the hub
// was away, with the receipt key as proof.
func (e *Enrolment) Renew(ctx context.Context) (*identity.SVID, *identity.Authorities, error) {
	key, err := identity.GenerateKey()
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	csr, err := identity.Request(key)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ask := e.renew
	if e.spoke.Now().After(e.Source.SVID().Leaf().NotAfter) {
		ask = e.comeBack
	}
	response, err := ask(ctx, csr)
	if err != nil {
		return nil, nil, errors.New(status.Convert(err).Message())
	}
	svid, authorities, err := receive(key, response.GetChain(), response.GetAuthorities())
	if err != nil {
		return nil, nil, err
	}
	if authorities.TrustDomain().Name() != e.TrustDomain {
		return nil, nil, fmt.Errorf("the hub answered with authorities of the trust domain %s", authorities.TrustDomain())
	}
	return svid, authorities, nil
}

func (e *Enrolment) renew(ctx context.Context, csr []byte) (*writv1.RenewResponse, error) {
	conn, err := grpc.NewClient(e.Hub.Connect, grpc.WithTransportCredentials(identity.DialCredentials(e.Source)))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return writv1.NewSpokesClient(conn).Renew(ctx, &writv1.RenewRequest{Csr: csr, Version: e.spoke.version()})
}

func (e *Enrolment) comeBack(ctx context.Context, csr []byte) (*writv1.RenewResponse, error) {
	conn, err := dial(e.Hub.Enrol, e.Source.Authorities())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	at := timestamppb.New(e.spoke.Now())
	signature, err := e.ReceiptKey.Sign(nil, identity.ReturnProof(e.Cluster, at.AsTime(), csr), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("sign with the receipt key: %w", err)
	}
	return writv1.NewEnrolmentClient(conn).Return(ctx, &writv1.ReturnRequest{
		Cluster: e.Cluster, Csr: csr, At: at, Signature: signature, Version: e.spoke.version()})
}

// ReceiptPublic is the key with which others check this cluster's receipts.
func (e *Enrolment) ReceiptPublic() ed25519.PublicKey {
	return e.ReceiptKey.Public().(ed25519.PublicKey)
}
