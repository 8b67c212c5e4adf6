// Package operators gives the people who operate the fleet SVIDs, and says whose still counts.
//
// They ask on the hub's API server, by a CertificateSigningRequest: it stamps who they are, and says whether they may operate the fleet,
// when they ask and again at each of their calls, from a memory of seconds at most. It promises that an SVID counts only while it is on
// record here, that a request gives a public key and nothing else, and that those to other signers are left alone. It never believes a
// right that it cannot ask for.
package operators

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/writ-dev/writ/api/v1alpha1"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/identity"
)

const (
	// prefix is where the records are: by the end of the SVID, then by its digest.
	prefix = "operator/"
	// askWithin bounds how long the API server is waited for.
	askWithin = 5 * time.Second
)

// Issuer signs SVIDs.
type Issuer interface {
	Issue(ctx context.Context, enrolment string, asked *identity.Requested, id spiffeid.ID, now time.Time, life time.Duration) (chain [][]byte, err error)
}

// Parts are what operators need.
type Parts struct {
	Store       store.Store
	CA          Issuer
	TrustDomain spiffeid.TrustDomain
	Client      client.Client // of the hub's API server
	Log         *slog.Logger
	Now         func() time.Time
}

// Operators is safe for concurrent use.
type Operators struct {
	Parts
	mu    sync.Mutex
	words map[string]*word // what the API server said last, by the key of the record
}

// New makes it; Watch lets people ask.
func New(parts Parts) *Operators { return &Operators{Parts: parts, words: map[string]*word{}} }

// record is one SVID that counts: whose it is, as the API server said when they asked for it.
type record struct {
	User    string                                `json:"user"`
	UID     string                                `json:"uid,omitempty"`
	Groups  []string                              `json:"groups,omitempty"`
	Extra   map[string]authorizationv1.ExtraValue `json:"extra,omitempty"`
	Request string                                `json:"request"` // the CertificateSigningRequest
}

// asker is who made a request.
func asker(csr *certificatesv1.CertificateSigningRequest) record {
	r := record{User: csr.Spec.Username, UID: csr.Spec.UID, Groups: csr.Spec.Groups, Request: csr.Name}
	for key, values := range csr.Spec.Extra {
		if r.Extra == nil {
			r.Extra = map[string]authorizationv1.ExtraValue{}
		}
		r.Extra[key] = authorizationv1.ExtraValue(values)
	}
	return r
}

// agents are the namespaces of agent classes: whatever is bound to them, an agent proposes.
const agents = "system:serviceaccount:writ-agent-"

// may asks the API server whether somebody may operate the fleet.
func (o *Operators) may(ctx context.Context, who record) (bool, error) {
	if strings.HasPrefix(who.User, agents) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: who.User, UID: who.UID, Groups: who.Groups, Extra: who.Extra,
		ResourceAttributes: &authorizationv1.ResourceAttributes{Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version,
			Resource: "clusters", Verb: v1alpha1.OperateVerb}}}
	if err := o.Client.Create(ctx, review); err != nil {
		return false, fmt.Errorf("ask whether %s may operate the fleet: %w", who.User, err)
	}
	return review.Status.Allowed && !review.Status.Denied, nil
}
