package rotation

import (
	"fmt"

	writv1 "github.com/writ-dev/writ/api/writv1"
	"github.com/writ-dev/writ/internal/identity"
)

// maxChain bounds what is sent of trust roots at once, in bytes; the rest follows.
const maxChain = 384 << 10

// Tell is what a spoke that trusts these is to be told, and a mark of it: the same mark, the same news.
func (r *Rotation) Tell(cluster string, t *writv1.Trusting) (news []*writv1.HubMessage, mark string) {
	present := r.Present()
	if chain := r.after(t.GetRootVersion(), present.Version()); len(chain) > 0 {
		news = append(news, &writv1.HubMessage{Body: &writv1.HubMessage_TrustRoots{TrustRoots: &writv1.TrustRoots{Roots: chain}}})
		mark += fmt.Sprintf("root %d ", present.Version())
	}
	if authorities := r.CA.Authorities(); t.GetAuthorities() != authorities.Digest() {
		news = append(news, &writv1.HubMessage{Body: &writv1.HubMessage_Authorities{Authorities: authorities.PEM()}})
		mark += "authorities " + authorities.Digest() + " "
	}
	if r.CA.Stage() == identity.Signing && t.GetSvidAuthority() != r.CA.Signer() {
		news = append(news, &writv1.HubMessage{Body: &writv1.HubMessage_Renewal{Renewal: &writv1.Renewal{}}})
		mark += "renewal " + r.CA.Signer()
	}
	return news, mark
}

// after lists the trust roots that follow a version. It is empty where one of them is not there: the spoke began with a later one
// than the hub has, or with an earlier one than it ever had.
func (r *Rotation) after(version, present int64) (chain [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	size := 0
	for next := version + 1; next <= present; next++ {
		root := r.versions[next]
		if root == nil {
			return nil
		}
		if size += len(root.Bytes()); size > maxChain {
			break
		}
		chain = append(chain, root.Bytes())
	}
	return chain
}
