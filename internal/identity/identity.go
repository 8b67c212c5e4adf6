// Package identity names hub, clusters and operators by SPIFFE ID, issues and renews their X.509-SVIDs, and configures TLS with them.
//
// It promises that a certificate says only what the issuer's own record says, that both ends of a connection check whom
// they speak with on every handshake, and that keys rest in files that only their owner reads. It never copies an identity
// out of a signing request, never resumes a TLS session, and never skips verification.
package identity

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
)

const clusterPath = "/cluster/"

// label is RFC 1123, section 2.1: what a cluster may be called.
var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// Hub is the identity of the hub of a trust domain.
func Hub(td spiffeid.TrustDomain) spiffeid.ID {
	id, _ := spiffeid.FromSegments(td, "hub") // a constant, valid path
	return id
}

// HubName is the DNS name that the hub's SVID carries besides its ID, so that clients verify it the ordinary way.
func HubName(td spiffeid.TrustDomain) string { return "hub." + td.Name() }

// Cluster is the identity of a cluster's spoke. The name must be a DNS label.
func Cluster(td spiffeid.TrustDomain, name string) (spiffeid.ID, error) {
	if !label.MatchString(name) {
		return spiffeid.ID{}, fmt.Errorf("cluster name %q is not a DNS label of at most 63 characters", name)
	}
	return spiffeid.FromPath(td, clusterPath+name)
}

// ClusterName returns the name of the cluster that an ID of the trust domain stands for; ok is false for any other ID.
func ClusterName(td spiffeid.TrustDomain, id spiffeid.ID) (name string, ok bool) {
	name, ok = strings.CutPrefix(id.Path(), clusterPath)
	return name, ok && id.MemberOf(td) && label.MatchString(name)
}
