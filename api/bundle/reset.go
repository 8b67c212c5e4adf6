package bundle

import (
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/writ-dev/writ/api/refusal"
)

// ResetType is the payload type of an epoch reset.
const ResetType = "application/vnd.writ.epoch-reset.v1+json"

// EveryCluster stands for all clusters of a trust domain.
const EveryCluster = "*"

// EpochReset lets a cluster's sequence begin anew, in a higher epoch: the hub was restored and does not know what it has signed.
// The root keys sign it.
type EpochReset struct {
	Format      int       `json:"format"`
	TrustDomain string    `json:"trustDomain"`
	Cluster     string    `json:"cluster"` // or EveryCluster
	Epoch       uint64    `json:"epoch"`   // in which the sequence begins at 1; whoever is there already, or further, stays
	At          time.Time `json:"at"`
}

// For reports whether the reset is meant for a cluster.
func (r EpochReset) For(trustDomain, cluster string) bool {
	return r.TrustDomain == trustDomain && (r.Cluster == cluster || r.Cluster == EveryCluster)
}

// OpenReset reads the envelope of an epoch reset.
func OpenReset(raw []byte) (*dsse.Envelope, EpochReset, *refusal.Refusal) {
	return open[EpochReset](raw, ResetType)
}
