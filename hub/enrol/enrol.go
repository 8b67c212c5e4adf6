// Package enrol lets clusters in: it judges join tokens, keeps the live record of every cluster, and issues and renews the
// SVIDs of spokes.
//
// It promises that a token lets in one spoke, once, within ten minutes, and only one that shows a token of its ServiceAccount too,
// signed by the keys that were pinned when its cluster was registered; that an identity is written from the record and
// never from a signing request; and that an enrolment is in the audit log before the spoke hears of it. It never stores a
// token, only its hash, and it never tells a caller without the token whether a cluster exists.
package enrol

import (
	"context"
	"log/slog"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/hub/store"
	"github.com/writ-dev/writ/internal/identity"
)

const (
	// TokenLife is how long a join token is good for, from its issue.
	TokenLife = 10 * time.Minute
	// skew is how far ahead of the hub's clock the operator's may be.
	skew = time.Minute
	// attempts is how often a commit is tried again because somebody else was quicker.
	attempts = 8
)

// Enrolment is what the audit log keeps of one.
type Enrolment struct {
	Cluster    string
	ClusterUID string
	SPIFFEID   string
	ReceiptKey []byte // PKIX, DER
	Epoch      uint64
	At         time.Time
}

// Recorder appends to the audit log. When it returns nil, the entry is durable. The same enrolment may come twice.
type Recorder interface {
	RecordEnrolment(ctx context.Context, e Enrolment) error
	// RecordReset does the same for the reset of a cluster's epoch, with the statement of the root keys.
	RecordReset(ctx context.Context, cluster string, epoch uint64, statement []byte, at time.Time) error
	// RecordRevocation does the same for the end of a cluster's identity.
	RecordRevocation(ctx context.Context, cluster, reason string, at time.Time) error
}

// Parts are what a service is made of.
type Parts struct {
	Store       store.Store
	CA          *identity.CA
	TrustDomain spiffeid.TrustDomain
	// Life is of the SVIDs of spokes; 0 is identity.Life.
	Life     time.Duration
	Recorder Recorder
	// Refresh has what people declared about a cluster taken in now. It is asked before a token is called wrong: a cluster may
	// have been registered a moment ago. Nil asks nobody.
	Refresh func(ctx context.Context, cluster string) error
	// Ended is told whose identity has ended, so that its connections are closed. It must not block. Nil tells nobody.
	Ended func(cluster string)
	// Changed is told whose record is not what it was, so that people are shown it. It must not block. Nil tells nobody.
	Changed func(cluster string)
	Log     *slog.Logger
	Now     func() time.Time
}

// Service serves writ.v1.Enrolment, and the records to the rest of the hub. It is safe for concurrent use, also by several
// hubs on one store.
type Service struct {
	writv1.UnimplementedEnrolmentServer
	Parts
	limits limits
}

// New makes a service.
func New(parts Parts) *Service {
	if parts.Life == 0 {
		parts.Life = identity.Life
	}
	return &Service{Parts: parts, limits: newLimits(parts.Log)}
}
